"""Who listens to what on one node."""

import pytest

from relay.channels import Channel, Channels
from relay_transports.inprocess import InProcessTransport

EVENT, LATER = b"paid", b"sent"


@pytest.fixture
def transports() -> tuple[InProcessTransport, InProcessTransport]:
    return InProcessTransport(), InProcessTransport()


def test_who_is_joining_gets_what_came_meanwhile_when_it_is_admitted(transports):
    channel: Channel[str] = Channel("a")
    first, second = transports
    channel.hold(first)
    channel.keep(EVENT, None)
    channel.hold(second)
    channel.keep(LATER, None)
    assert channel.admit(first, "first") == [EVENT, LATER]
    assert channel.admit(second, "second") == [LATER]
    assert list(channel.transports.items()) == [(first, "first"), (second, "second")]
    assert channel.joining == {}


def test_nothing_is_held_for_the_one_that_is_excluded(transports):
    channel: Channel[str] = Channel("a")
    for transport in transports:
        channel.hold(transport)
    channel.keep(EVENT, transports[0])
    assert [channel.admit(transport, "") for transport in transports] == [[], [EVENT]]


def test_who_is_given_a_later_event_first_gets_nothing_that_came_before_it(transports):
    channel: Channel[str] = Channel("cache-a")
    for transport in transports:
        channel.hold(transport)
    for text, step in ((b"1", 1), (b"client-1", 0), (b"5", 5), (b"3", 3), (b"client-3", 0), (b"2", 2), (b"4", 4)):
        channel.keep(text, None, step)
    assert channel.admit(transports[0], "first", replayed=3) == [b"5", b"client-3", b"4"]
    assert channel.admit(transports[1], "second") == [b"1", b"client-1", b"5", b"3", b"client-3", b"2", b"4"]
    assert channel.awaiting(3, None) == [transports[1]]
    assert channel.awaiting(4, transports[0]) == [transports[1]]
    channel.remove(transports[0])
    assert channel.replayed == {}


def test_a_channel_is_idle_when_nobody_is_in_it_or_joining(transports):
    channel: Channel[str] = Channel("a")
    first, second = transports
    assert channel.idle
    channel.hold(first)
    channel.hold(second)
    channel.admit(second, "second")
    assert not channel.idle
    assert [channel.remove(first), channel.remove(first)] == [True, False]
    assert not channel.idle
    assert channel.remove(second)
    assert channel.idle


def test_channels_exist_while_somebody_is_in_them(transports):
    channels: Channels[str] = Channels()
    for transport in transports:
        channels.open("a").hold(transport)
    assert [channel.name for channel in channels] == ["a"]
    assert channels.remove("a", transports[0]) is False
    assert channels.remove("a", transports[1]) is True
    assert (len(channels), channels.get("a")) == (0, None)


def test_opening_gives_the_same_channel_again(transports):
    channels: Channels[str] = Channels()
    channel = channels.open("a")
    channel.hold(transports[0])
    assert channels.open("a") is channel
    assert channels.open("b") is not channel


def test_taking_out_who_is_not_there_leaves_everything_as_it_is(transports):
    channels: Channels[str] = Channels()
    channels.open("a").hold(transports[0])
    assert channels.remove("a", transports[1]) is False
    assert channels.remove("b", transports[0]) is False
    assert len(channels) == 1
