"""A client over a real WebSocket whose caller gives up after any number of turns of the loop.

In process, where every await can be counted, it is the property test of the same name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from relay import Hub
from relay.client import Client, State, SubscriptionRefused
from relay_transports.aiohttp import connect
from relay_transports.aiohttp.client import WebSocketClient
from tests.integration.bad_frames import APP, KEY
from tests.integration.serving import Served, serving, until
from tests.integration.wire import PATIENCE
from tests.integration.worlds import World, socket_world
from tests.property.engines import checkpoints
from tests.property.giving_up import cancel_task, leave_scope

NEWS, TEAM, ROOM = "news", "private-team", "presence-room"
EVERY_TURN = range(24)
"""Turns of the loop after which to give up; an answer of the server takes about ten."""


give_ups = pytest.mark.parametrize("give_up", [leave_scope, cancel_task], ids=lambda give_up: give_up.__name__)
every_channel = pytest.mark.parametrize("name", [NEWS, TEAM, ROOM])


async def enter(client: Client, name: str) -> Any:
    return await client.subscribe(name, user_id="ada" if name == ROOM else None)


async def is_sound(world: World, client: Client) -> None:
    """Once the server has done all it was asked: the client is in a channel exactly if the hub has it there."""
    for name in ("barrier-1", "barrier-2"):  # what was given up is undone before the second one
        await client.subscribe(name)
    await world.hub.settle()
    assert world.hub.check() == []
    assert world.hub.stats().channels == len(client.channels)
    assert set(await world.hub.channels()) == {name for name in client.channels if not name.startswith("#")}
    assert all(channel.subscribed for channel in client.channels.values())


async def works(world: World, client: Client) -> None:
    """The client enters every kind of channel and hears what is published there."""
    for name in (NEWS, TEAM, ROOM):
        channel = await enter(client, name)
        await is_sound(world, client)
        await world.hub.trigger(name, "paid", "still here")
        while (await anext(channel)).data != "still here":
            pass


@give_ups
@every_channel
async def test_a_subscribe_that_was_given_up_is_done_or_undone(name, give_up):
    done = []
    async with socket_world() as world:
        for after in EVERY_TURN:
            client = await world.client()
            await give_up(partial(enter, client, name), after)
            done.append(name in client.channels)
            await is_sound(world, client)
            await works(world, client)
            await client.close()
            await until(world.hub, lambda: world.hub.stats().connections == 0)
    assert (done[0], done[-1]) == (False, True)


@give_ups
@every_channel
async def test_a_channel_asked_for_again_right_after_it_was_given_up_is_subscribed(name, give_up):
    async with socket_world() as world:
        for after in EVERY_TURN:
            client = await world.client()
            await give_up(partial(enter, client, name), after)
            channel = await enter(client, name)
            await is_sound(world, client)
            await world.hub.trigger(name, "paid", 1)
            assert (await anext(channel)).data == 1
            assert (channel.members.me is not None) == (name == ROOM)
            await client.close()
            await until(world.hub, lambda: world.hub.stats().connections == 0)


async def ask_for_too_much(client: Client) -> None:
    try:
        await client.subscribe(TEAM, auth={"auth": f"{KEY}:bad"})
    except SubscriptionRefused:
        pass


@give_ups
async def test_the_refusal_of_a_subscribe_that_was_given_up_is_not_taken_for_that_of_another(give_up):
    async with socket_world() as world:
        for after in EVERY_TURN:
            client = await world.client()
            await give_up(partial(ask_for_too_much, client), after)
            assert (await client.subscribe(NEWS)).subscribed
            await works(world, client)
            await client.close()
            await until(world.hub, lambda: world.hub.stats().connections == 0)


async def unsubscribe(client: Client) -> None:
    await client.unsubscribe(ROOM)


async def trigger(client: Client) -> None:
    await client.channels[TEAM].trigger("client-typing", {})


async def sign_in(client: Client) -> None:
    await client.signin("ada")


async def read(client: Client) -> None:
    await anext(client.channels[NEWS])


@give_ups
@pytest.mark.parametrize("verb", [unsubscribe, trigger, sign_in, read])
async def test_a_verb_that_was_given_up_leaves_nothing_half_done(verb, give_up):
    async with socket_world() as world:
        for after in EVERY_TURN:
            client = await world.client()
            for name in (NEWS, TEAM, ROOM):
                await enter(client, name)
            await give_up(partial(verb, client), after)
            await is_sound(world, client)
            await works(world, client)
            await client.close()
            await until(world.hub, lambda: world.hub.stats().connections == 0)


@asynccontextmanager
async def site() -> AsyncIterator[tuple[Served, str]]:
    async with serving(Hub(APP)) as served:
        yield served, f"ws://127.0.0.1:{served.port}/app/{KEY}"


async def connect_into(made: list[WebSocketClient], url: str) -> None:
    made.append(await connect(url))


@give_ups
async def test_connecting_that_was_given_up_leaves_no_connection(give_up):
    made: list[WebSocketClient] = []
    async with site() as (served, url):
        for after in EVERY_TURN:
            await give_up(partial(connect_into, made, url), after)
            async with connect(url):  # the server has heard of everybody before
                pass
            while made:
                await made.pop().close()
            await until(served.hub, lambda: served.hub.stats().connections == 0)


@give_ups
async def test_closing_that_was_given_up_is_done_all_the_same(give_up):
    async with site() as (served, url):
        for after in EVERY_TURN:
            client = await connect(url)
            await enter(client, NEWS)
            await checkpoints(1)
            await give_up(client.close, after)
            if after == 0 and client.closed is None:
                await client.close()
            await until(served.hub, lambda: served.hub.stats().connections == 0)
            async with asyncio.timeout(PATIENCE):
                while not client.session.closed:
                    await checkpoint()
            assert client.connection.state is State.DISCONNECTED
