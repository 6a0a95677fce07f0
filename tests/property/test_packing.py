"""What crosses the wire between nodes is data: it comes out as it went in, and anything else is refused."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cluster.broker import Envelope, Kind
from relay.cluster.packing import LARGEST, VERSION, Unreadable, pack, unpack

# What JSON from a client can become: no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]))
infos = st.none() | st.dictionaries(texts, st.integers() | texts).map(
    lambda info: msgspec.Raw(msgspec.json.encode(info))
)
envelopes = st.builds(
    Envelope,
    app=texts,
    channel=texts,
    text=texts.map(str.encode),
    socket_id=st.none() | texts,
    kind=st.sampled_from(get_args(Kind)),
    user_id=st.none() | texts,
    info=infos,
    step=st.integers(0, 2**53),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)
GOOD = pack("node", Envelope(app="1", channel="a", text=b"{}", info=msgspec.Raw(b'{"a":1}'), kind="member_added"))


@given(texts, envelopes)
def test_an_envelope_comes_out_as_it_went_in(sender, envelope):
    packet = unpack(pack(sender, envelope))
    assert packet.sender == sender
    assert packet.envelope == envelope


def unpacked_or_refused(data: bytes) -> None:
    """It is an envelope of plain values, or there is none: nothing else comes of it."""
    try:
        packet = unpack(data)
    except Unreadable:
        return
    assert type(packet.envelope) is Envelope
    packet.envelope.text.decode()
    if packet.envelope.info is not None:
        assert isinstance(msgspec.json.decode(packet.envelope.info), dict)


@given(st.binary())
def test_bytes_that_are_no_envelope_are_refused(data):
    unpacked_or_refused(data)


@given(values)
def test_other_values_are_refused(value):
    unpacked_or_refused(msgspec.msgpack.encode(value))


@given(st.lists(values, min_size=10, max_size=10), st.lists(st.booleans(), min_size=10, max_size=10))
def test_an_envelope_with_other_values_in_places_is_refused_or_sound(others, taken):
    good = msgspec.msgpack.decode(GOOD)
    mixed = [other if take else one for one, other, take in zip(good, others, taken, strict=True)]
    unpacked_or_refused(msgspec.msgpack.encode(mixed))


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_an_envelope_with_a_byte_changed_is_refused_or_sound(at, byte):
    unpacked_or_refused(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])


@given(st.integers(0, len(GOOD) - 1))
def test_a_part_of_an_envelope_is_refused(length):
    with pytest.raises(Unreadable):
        unpack(GOOD[:length])


@pytest.mark.parametrize("info", [b"", b"{", b"[]", b"1", b'{"a":1},"user_id":"eve"', b'{"a":"\xff"}', b"{}{}"])
def test_info_that_would_break_out_of_its_frame_is_refused(info):
    good = msgspec.msgpack.decode(GOOD)
    good[8] = info
    with pytest.raises(Unreadable, match="broken"):
        unpack(msgspec.msgpack.encode(good))


def test_text_that_no_client_could_read_is_refused():
    with pytest.raises(Unreadable, match="broken"):
        unpack(pack("node", Envelope(app="1", channel="a", text=b"\xff")))


@pytest.mark.parametrize("fields", [1, 10, 12])
def test_another_version_is_refused_by_its_number_whatever_follows(fields):
    other = [VERSION + 1, *["x"] * (fields - 1)]
    with pytest.raises(Unreadable, match=f"version {VERSION + 1}, known is {VERSION}"):
        unpack(msgspec.msgpack.encode(other))


def test_what_is_too_large_is_not_looked_at():
    with pytest.raises(Unreadable, match="too many"):
        unpack(bytes(LARGEST + 1))


def test_depth_without_end_is_refused():
    with pytest.raises(Unreadable):
        unpack(b"\x91" * 100_000 + b"\x00")
