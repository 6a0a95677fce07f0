"""The client with a host whose errors name no channel, or that says nothing at all."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web
from anyio.lowlevel import checkpoint

from relay.client import Backoff, Client, Closed, Settings, State, SubscriptionRefused
from relay.protocol import messages
from relay.testing import ManualClock
from relay_transports.aiohttp import connect

GREETING = messages.connection_established("1.2", 120)
UNAUTHORIZED = messages.error("Connection is unauthorized", 4009)
UNKNOWN = messages.error("something is wrong")
Answer = Callable[[str], list[bytes]]
"""What the host answers to the subscribe of a channel."""


@asynccontextmanager
async def site(serve: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The URL of a host whose WebSocket is ``serve``."""
    application = web.Application()
    application.router.add_get("/app/{key}", serve)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with anyio.fail_after(10):
            yield f"ws://127.0.0.1:{runner.addresses[0][1]}/app/k"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def host(answer: Answer) -> AsyncIterator[Client]:
    """A client of a host that answers as told."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(GREETING.decode())
        async for message in socket:
            frame = json.loads(message.data)
            for text in answer(frame["data"]["channel"]) if frame["event"] == "pusher:subscribe" else []:
                await socket.send_str(text.decode())
        return socket

    async with site(serve) as url, connect(url, settings=Settings(reconnect=None)) as client:
        yield client


async def test_an_error_that_may_be_about_the_only_subscribe_refuses_it():
    async with host(lambda _: [UNAUTHORIZED]) as client:
        with pytest.raises(SubscriptionRefused, match="unauthorized"):
            await client.subscribe("orders")


async def test_an_error_that_nobody_is_to_blame_for_is_told_and_the_subscribe_goes_on_waiting():
    errors: list[str] = []
    async with host(lambda channel: [UNKNOWN, messages.subscription_succeeded(channel)]) as client:
        client.connection.bind("error", lambda error: errors.append(error.message))
        assert (await client.subscribe("orders")).subscribed
    assert errors == ["something is wrong"]


async def test_an_acknowledgement_wins_over_a_refusal_that_was_a_guess():
    late = [messages.subscription_succeeded(name) for name in ("orders", "barrier")]
    answers = {"orders": [UNAUTHORIZED], "barrier": late}
    async with host(answers.__getitem__) as client:
        with pytest.raises(SubscriptionRefused):
            await client.subscribe("orders")
        assert "orders" not in client.channels
        await client.subscribe("barrier")
        orders = client.channels["orders"]
        assert (orders.subscribed, orders.refusal) == (True, None)
        assert await client.subscribe("orders") is orders


class Mute:
    """A host that greets only while `greets`."""

    def __init__(self) -> None:
        self.greets = False

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.greets:
            await socket.send_str(GREETING.decode())
        async for message in socket:
            assert self.greets, message
        return socket


async def pass_time(clock: ManualClock, true: Callable[[], bool]) -> None:
    """Let time pass until ``true()``, a second in each turn of the loop."""
    while not true():
        await clock.advance(1)
        await checkpoint()


async def test_a_host_that_does_not_greet_is_given_up():
    clock, refused = ManualClock(), []
    async with site(Mute().serve) as url, anyio.create_task_group() as tasks:

        async def arrive() -> None:
            with pytest.raises(Closed, match="1006 the server did not greet within 30 s") as closed:
                await connect(url, clock=clock, settings=Settings(reconnect=None))
            refused.append(closed.value)

        tasks.start_soon(arrive)
        await pass_time(clock, lambda: bool(refused))
    assert clock.now() >= 30


async def test_a_host_that_does_not_greet_after_a_restart_is_tried_again():
    mute, clock = Mute(), ManualClock()
    mute.greets = True
    settings = Settings(reconnect=Backoff(first=1, most=1))
    async with site(mute.serve) as url, connect(url, clock=clock, settings=settings) as client:
        states: list[State] = []
        client.connection.bind("state_change", lambda change: states.append(change.current))
        mute.greets = False
        await pass_time(clock, lambda: states.count(State.CONNECTING) == 2)  # it answered neither ping nor greeted
        mute.greets = True
        await pass_time(clock, lambda: client.connection.state is State.CONNECTED)
    assert states[:4] == [State.UNAVAILABLE, State.CONNECTING] * 2
