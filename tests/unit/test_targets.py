"""Which addresses are public, and that names are judged by what they stand for."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from relay_transports.aiohttp.targets import PrivateAddress, PublicOnly, is_public


class Names(AbstractResolver):
    """A resolver of this test: what each name stands for, one answer after the other."""

    def __init__(self, **names: list[list[str]]) -> None:
        self.names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.names[host].pop(0)
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "127.1",
        "2130706433",
        "localhost",
        "",
    ],
)
def test_addresses_that_are_not(address):
    assert not is_public(address)


async def test_name_is_what_it_stands_for():
    names = PublicOnly(Names(good=[["8.8.8.8"]], bad=[["10.0.0.1"]], mixed=[["8.8.8.8", "::1"]]))
    assert [found["host"] for found in await names.resolve("good", 443)] == ["8.8.8.8"]
    for name, address in (("bad", "10.0.0.1"), ("mixed", "::1")):
        with pytest.raises(PrivateAddress, match=f"{name} stands for {address}, which is no public address"):
            await names.resolve(name, 443)
