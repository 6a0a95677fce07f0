"""Names: which are legal, and what their prefixes mean (protocol 1.4, 2.1)."""

import pytest

from relay.protocol import names
from relay.protocol.names import Kind


@pytest.mark.parametrize(
    "name", ["a", "a" * 200, "private-team_1", "A-Za-z0-9_-=@,.;", "cache-bus", "private-encrypted-x"]
)
def test_clients_may_subscribe_to_1_to_200_of_the_allowed_characters(name):
    assert names.is_channel(name)


@pytest.mark.parametrize(
    "name", ["", "a" * 201, "a b", "a\n", "\na", "a#", "a/b", "é", "a:b", "#server-to-user-ada", "٣"]
)
def test_other_names_are_no_channels(name):
    assert not names.is_channel(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("orders", Kind.PUBLIC),
        ("cache-orders", Kind.PUBLIC),
        ("privateer", Kind.PUBLIC),
        ("presence", Kind.PUBLIC),
        ("Private-a", Kind.PUBLIC),
        ("private-", Kind.PRIVATE),
        ("private-encrypted-cache-a", Kind.PRIVATE),
        ("presence-cache-a", Kind.PRESENCE),
        ("#server-to-user-ada", Kind.USER),
    ],
)
def test_a_prefix_says_what_a_channel_asks_for(name, kind):
    assert names.kind_of(name) is kind


@pytest.mark.parametrize("name", ["orders", "#server-to-user-auth0|7"])
def test_events_go_to_channels_and_to_users(name):
    assert names.is_target(name)


@pytest.mark.parametrize("name", ["#server-to-user-", "#other", "a b", ""])
def test_events_go_to_nothing_else(name):
    assert not names.is_target(name)


@pytest.mark.parametrize("value", ["1.1", "183923.7465120", "0.0"])
def test_a_socket_id_is_two_integers_joined_by_a_dot(value):
    assert names.is_socket_id(value)


@pytest.mark.parametrize("value", ["", "1", "1.", ".1", "1.1.1", "1.1\n", " 1.1", "-1.1", "1,1", "a.b", "٣.٣"])
def test_nothing_else_is_a_socket_id(value):
    assert not names.is_socket_id(value)
