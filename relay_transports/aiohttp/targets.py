"""Addresses that webhooks may go to where an App forbids private ones: looked at where the connection is made."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as a NAT64 gateway knows them (RFC 6052)."""


class PrivateAddress(OSError):
    """A name stands for an address that is not public; its text says which."""


def is_public(address: str) -> bool:
    """Whether ``address`` (as text) is one that the whole internet shares, and so no way into a private network.

    An IPv4 address inside of an IPv6 one counts as what it is.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
        elif found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


class PublicOnly(AbstractResolver):
    """Resolves names like ``inner``, and refuses those that stand for an address which is not public.

    What it lets through is what the connection goes to, so a name that changes its meaning meanwhile gains nothing.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of ``host``. Raises :class:`PrivateAddress` where one of them is not public."""
        found = await self._inner.resolve(host, port, family)
        for one in found:
            if not is_public(one["host"]):
                raise PrivateAddress(f"{host} stands for {one['host']}, which is no public address")
        return found

    async def close(self) -> None:
        """Let go of what ``inner`` keeps."""
        await self._inner.close()
