"""Who is at the other end of a request, and how many of one address there may be.

What a request says about whom it is forwarded for can be said by anybody: it counts only where a trusted proxy says it.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from aiohttp import web

from relay.errors import UsageError

UNIX = "unix"
"""The name of whoever comes through a Unix socket."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Peers:
    """Tells who a request comes from; ``forwarded_from`` names the proxies to believe.

    Each is an address (``"127.0.0.1"``), a network (``"10.0.0.0/8"``) or ``"unix"``: whoever may connect to the
    Unix socket. Raises :class:`UsageError` for anything else.
    """

    def __init__(self, forwarded_from: Sequence[str]) -> None:
        if isinstance(forwarded_from, str):
            raise UsageError(f"forwarded_from should be a list, such as [{forwarded_from!r}]")
        self._unix = UNIX in forwarded_from
        self._networks = [_network(entry) for entry in forwarded_from if entry != UNIX]

    def secure(self, request: web.Request) -> bool:
        """Whether the client came over TLS, to us or to a proxy that is trusted."""
        if self._trusts(_name(request)):
            protocols = _words(request, "X-Forwarded-Proto")
            if protocols:
                return protocols[-1].lower() in ("https", "wss")
        return request.secure

    def address(self, request: web.Request) -> str:
        """Where the client is: the nearest address that is no trusted proxy's."""
        name = _name(request)
        if not self._trusts(name):
            return name
        for word in reversed(_words(request, "X-Forwarded-For")):
            address = _without_port(word)
            if address is None:  # what stands before it was not written by a proxy of ours either
                break
            name = str(address)
            if not self._trusts(name):
                break
        return name

    def _trusts(self, name: str) -> bool:
        if name == UNIX:
            return self._unix
        address = _parsed(name) if self._networks else None
        return address is not None and any(address in network for network in self._networks)


class Places:
    """How many connections each address has; one that has none is not remembered. ``limit`` is for each of them.

    An IPv6 client counts by its /64 network, since whoever has one address there has them all.
    """

    def __init__(self, limit: int) -> None:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise UsageError(f"max_connections_per_address should be a whole number above 0, got {limit!r}")
        self._limit = limit
        self.taken: dict[str, int] = {}

    def place(self, address: str) -> Place:
        """A place for one connection, not taken yet."""
        return Place(self, whole_network(address))

    def take(self, address: str) -> bool:
        """Count one more, if there may be one."""
        count = self.taken.get(address, 0)
        if count >= self._limit:
            return False
        self.taken[address] = count + 1
        return True

    def leave(self, address: str) -> None:
        """Count one less."""
        self.taken[address] -= 1
        if not self.taken[address]:
            del self.taken[address]


class Place:
    """What one connection holds of :class:`Places`. It can be taken once, and not when it was given back."""

    __slots__ = ("_address", "_over", "_places", "_taken")

    def __init__(self, places: Places, address: str) -> None:
        self._places = places
        self._address = address
        self._taken = self._over = False

    def take(self) -> bool:
        """Take it; False when there is none for this address, or the connection is gone already."""
        self._taken = not self._over and self._places.take(self._address)
        return self._taken

    def leave(self) -> None:
        """Give it back. Idempotent."""
        self._over = True
        if self._taken:
            self._taken = False
            self._places.leave(self._address)


def whole_network(address: str) -> str:
    """The /64 network of an IPv6 address: whoever has one address there has them all, and may use another next time."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return address


def _name(request: web.Request) -> str:
    """The other end of the connection: ``unix``, or an address."""
    peer = None if request.transport is None else request.transport.get_extra_info("socket")
    if peer is not None and peer.family == getattr(socket, "AF_UNIX", None):
        return UNIX
    return request.remote or ""


def _words(request: web.Request, header: str) -> list[str]:
    """The values in all lines of ``header``, in order."""
    return [word.strip() for line in request.headers.getall(header, ()) for word in line.split(",") if word.strip()]


def _network(entry: object) -> _Network:
    try:
        if isinstance(entry, str):
            return ipaddress.ip_network(entry)
    except ValueError:
        pass
    raise UsageError(f"forwarded_from takes addresses, networks such as '10.0.0.0/8', and 'unix', got {entry!r}")


def _parsed(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # an IPv4 client of a server that listens on ::
    return address


def _without_port(word: str) -> _Address | None:
    """The address in ``192.0.2.1``, ``192.0.2.1:1234``, ``2001:db8::1`` or ``[2001:db8::1]:1234``."""
    if word.startswith("["):
        return _parsed(word[1:].partition("]")[0])
    return _parsed(word) or _parsed(word.rpartition(":")[0])
