"""When letting a client in fails on our side, its socket is closed, nothing of it stays, and the next one gets in."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from relay import Hub
from relay.facts import Connected
from tests.integration import wire
from tests.integration.bad_frames import APP, KEY
from tests.integration.serving import Served, serving, until
from tests.integration.wire import Wire

BOTH_DOORS = True
URL = f"/app/{KEY}?protocol=7"
SOON = 4.0
"""Seconds; a shutdown that waits for somebody who is gone takes twice as long."""


async def ended(socket: Wire) -> None:
    """The server has closed the socket, politely or not."""
    async with asyncio.timeout(wire.PATIENCE):
        try:
            await socket.reader.read()
        except ConnectionError:
            pass


async def next_one_gets_in(served: Served) -> None:
    async with served.websocket(URL) as socket:
        assert (await socket.event())["event"] == "pusher:connection_established"
        assert served.hub.stats().connections == 1
        assert served.hub.check() == []


async def nobody_holds_up_a_shutdown(served: Served) -> None:
    async with asyncio.timeout(SOON):
        await served.runner.cleanup()


class Entropy(Random):
    """Where socket ids come from; it may be exhausted."""

    exhausted = False

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        if self.exhausted:
            raise OSError("no entropy left")
        return super().randrange(start, stop, step)


async def test_a_client_that_cannot_be_let_in_loses_its_socket_and_leaves_nothing(tls, caplog):
    entropy = Entropy()
    async with serving(Hub(APP, random=entropy), tls=tls) as served:
        entropy.exhausted = True
        async with served.dial() as socket:
            socket.write(wire.upgrade(URL))
            await ended(socket)
        entropy.exhausted = False
        assert "no entropy left" in caplog.text
        await next_one_gets_in(served)
        await nobody_holds_up_a_shutdown(served)


def fail(fact: Connected) -> None:
    raise ValueError("a callback that must not raise does")


async def test_a_callback_that_raises_is_logged_and_the_client_is_let_in(served, caplog):
    forget = served.hub.on(Connected, fail)
    await next_one_gets_in(served)
    forget()
    assert "a callback that must not raise does" in caplog.text
    await nobody_holds_up_a_shutdown(served)


@contextmanager
def no_file_descriptors() -> Iterator[None]:
    """The process may open no more files."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


async def test_a_process_out_of_file_descriptors_closes_the_client_and_goes_on(caplog):
    async with serving(Hub(APP)) as served, served.websocket(URL) as neighbour:
        await neighbour.event()
        async with served.dial() as socket:
            request = wire.upgrade(URL)
            socket.write(request[:-2])
            async with served.websocket(URL) as other:  # by now the server has accepted both
                await other.event()
                with no_file_descriptors():
                    socket.write(request[-2:])
                    await ended(socket)
        assert "Too many open files" in caplog.text
        neighbour.write(wire.frame(wire.TEXT, b'{"event":"pusher:ping"}'))
        assert (await neighbour.event())["event"] == "pusher:pong"
        neighbour.reset()
        await until(served.hub, lambda: served.hub.stats().connections == 0)
        await next_one_gets_in(served)
        await nobody_holds_up_a_shutdown(served)
