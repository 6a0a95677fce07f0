"""Whom a request comes from: what a proxy tells counts where the proxy is trusted, and nowhere else."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from relay import UsageError
from relay_transports.aiohttp.peers import Peers, Places


class Transport:
    """A connection from ``peer``."""

    def __init__(self, peer: str) -> None:
        family = socket.AF_UNIX if peer == "unix" else socket.AF_INET6 if ":" in peer else socket.AF_INET
        self._info = {
            "peername": "" if peer == "unix" else (peer, 40_000),
            "socket": type("Socket", (), {"family": family}),
        }

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._info.get(name, default)


def request(peer: str, *, tls: bool = False, proto: str | None = None, forwarded: list[str] | None = None) -> Any:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in forwarded or []])
    if proto is not None:
        headers.add("X-Forwarded-Proto", proto)
    transport: Any = Transport(peer)
    context = ssl.create_default_context() if tls else None
    return make_mocked_request("GET", "/app/k", headers, transport=transport, sslcontext=context)


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        ([], "127.0.0.1", False),
        ([], "unix", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["127.0.0.1"], "unix", False),
        (["unix"], "unix", True),
        (["unix"], "127.0.0.1", False),
        (["10.0.0.0/8"], "10.200.3.4", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        (["::1", "unix"], "::1", True),
        (["::1"], "127.0.0.1", False),
        (["2001:db8::/32"], "2001:db8:1::2", True),
        (["0.0.0.0/0", "::/0"], "unix", False),
    ],
)
def test_only_a_trusted_peer_is_believed(trusted, peer, believed):
    peers = Peers(trusted)
    assert peers.secure(request(peer, proto="https")) is believed
    address = peers.address(request(peer, forwarded=["192.0.2.9"]))
    assert address == ("192.0.2.9" if believed else peer)


@pytest.mark.parametrize(
    ("proto", "tls", "secure"),
    [
        ("https", False, True),
        ("wss", False, True),
        ("HTTPS", False, True),
        ("http", True, False),
        ("ws", True, False),
        ("", False, False),
        ("", True, True),
        (None, True, True),
        (None, False, False),
        ("http, https", False, True),
        ("https, http", False, False),
        ("nonsense", True, False),
    ],
)
def test_the_last_protocol_a_trusted_proxy_tells_decides(proto, tls, secure):
    assert Peers(["unix"]).secure(request("unix", tls=tls, proto=proto)) is secure


@pytest.mark.parametrize("tls", [True, False])
def test_nobody_else_can_claim_tls_or_deny_it(tls):
    for proto in "https", "http":
        assert Peers(["10.0.0.1"]).secure(request("10.0.0.2", tls=tls, proto=proto)) is tls


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, 10.0.0.7"], "192.0.2.1"),
        (["192.0.2.1, 10.0.0.8, 10.0.0.7"], "192.0.2.1"),
        (["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
        (["192.0.2.1, unknown"], "10.0.0.1"),
        (["192.0.2.1, unknown, 10.0.0.7"], "10.0.0.7"),
        (["unix"], "10.0.0.1"),
        (["999.1.1.1"], "10.0.0.1"),
    ],
)
def test_address_is_the_nearest_that_is_no_trusted_proxys(forwarded, address):
    assert Peers(["10.0.0.0/8"]).address(request("10.0.0.1", forwarded=forwarded)) == address


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["nginx"], "got 'nginx'"),
        (["10.0.0.1/8"], "got '10.0.0.1/8'"),
        ([""], "got ''"),
        (["127.0.0.1:80"], "got '127.0.0.1:80'"),
        (["*"], "got '*'"),
        ([5], "got 5"),
        ("unix", "should be a list, such as ['unix']"),
    ],
)
def test_proxy_that_cannot_be_is_told_what_could(given, told):
    with pytest.raises(UsageError, match=r"^forwarded_from ") as refused:
        Peers(given)
    assert told in str(refused.value)


# Places


def test_neighbours_have_places_of_their_own_and_nobody_is_remembered():
    places = Places(2)
    ada, bob = [places.place("192.0.2.1") for _ in range(3)], places.place("192.0.2.2")
    assert ([place.take() for place in ada], bob.take()) == ([True, True, False], True)
    for place in [*ada, bob, *ada]:
        place.leave()
    assert places.taken == {}
    assert places.place("192.0.2.1").take()


def test_place_of_a_connection_that_is_gone_cannot_be_taken():
    places = Places(2)
    place = places.place("192.0.2.1")
    place.leave()
    assert (place.take(), places.taken) == (False, {})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", False),  # Peers tells the two apart before
        ("192.0.2.1", "192.0.2.2", False),
        ("unix", "unix", True),
        ("", "", True),
    ],
)
def test_an_ipv6_network_counts_as_one_address(one, other, same):
    places = Places(1)
    assert places.place(one).take()
    assert places.place(other).take() is not same


@pytest.mark.parametrize("limit", [0, -1, True, "5", 1.5])
def test_bound_that_cannot_be_is_refused(limit):
    with pytest.raises(UsageError, match=r"^max_connections_per_address should be a whole number above 0, got "):
        Places(limit)
