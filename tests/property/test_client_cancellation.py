"""A client whose caller gives up at any await: it is in a channel exactly if the hub says so, and it still works."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import pytest

from relay import Hub, Member, User
from relay.client import Backoff, Channel, Client, Settings, SubscriptionRefused
from relay.cluster.local import LocalDirectory
from relay_transports.inprocess import connect
from tests.property.engines import Pace, SlowDirectory, Wire, checkpoints
from tests.property.giving_up import GiveUp, cancel_task, leave_scope
from tests.unit.client import APP

NEWS, TEAM, ROOM = "news", "private-team", "presence-room"
EVERY_AWAIT = range(30)
"""Checkpoints after which to give up, from before the first await of an act to after its last."""


@dataclass
class Scene:
    """A hub, and a client of it whose auth endpoint takes its time."""

    hub: Hub
    directory: LocalDirectory
    client: Client = field(init=False)
    done: list[object] = field(default_factory=list)
    """What the acts returned that were not given up."""

    async def enter(self, name: str) -> Channel:
        return await self.client.subscribe(name, user_id="ada" if name == ROOM else None)

    async def perform(self, verb: "Verb") -> None:
        self.done.append(await verb(self))

    async def enter_in(self, scope: anyio.CancelScope, name: str) -> None:
        with scope:
            self.done.append(await self.enter(name))

    async def enter_or_be_refused(self, name: str) -> None:
        try:
            await self.enter(name)
        except SubscriptionRefused:
            pass

    async def is_sound(self) -> None:
        """Once all is quiet: the client is in a channel if and only if the hub has it there."""
        with anyio.fail_after(5):
            await self.hub.settle()
        assert self.hub.check() == []
        believed = {name for name, channel in self.client.channels.items() if channel.subscribed}
        assert believed == set(self.client.channels)
        assert believed == {name for name, sockets in self.directory.sockets(APP.id).items() if sockets}

    async def works(self) -> None:
        """The client can enter every kind of channel, and hears what is published there."""
        for name in (NEWS, TEAM, ROOM):
            channel = await self.enter(name)
            await self.hub.trigger(name, "paid", "still here")
            while (event := await anext(channel)).data != "still here":
                assert event.event == "paid"
        assert self.client.channels[ROOM].members.me == Member("ada")
        await self.is_sound()

    async def is_left(self) -> None:
        """Nothing stays of a client that closes."""
        await self.client.close()
        await self.hub.settle()
        assert (self.hub.stats().connections, self.hub.stats().channels, self.hub.check()) == (0, 0, [])


def settings(hub: Hub) -> Settings:
    async def authorize(socket_id: str, channel: str, member: Member | None) -> dict[str, str]:
        await checkpoints(2)
        return hub.authorize_channel(socket_id, channel, member)

    async def authenticate(socket_id: str, user: Member | None) -> dict[str, str]:
        await checkpoints(2)
        assert user is not None
        return hub.authenticate_user(socket_id, User(user.id))

    return Settings(authorize=authorize, authenticate=authenticate)


@asynccontextmanager
async def scene(engines: str) -> AsyncIterator[Scene]:
    """A client of a hub whose engines never wait ("local") or wait at every step ("slow")."""
    pace = Pace(before=(2,), after=(2,))
    if engines == "slow":
        slow = SlowDirectory(pace)
        here = Scene(Hub(APP, broker=Wire(pace).end(), directory=slow), slow.inner)
    else:
        directory = LocalDirectory()
        here = Scene(Hub(APP, directory=directory), directory)
    async with here.hub:
        here.client = await connect(here.hub, settings=settings(here.hub))
        yield here


Verb = Callable[[Scene], Coroutine[Any, Any, object]]


async def subscribe_public(here: Scene) -> None:
    await here.enter(NEWS)


async def subscribe_private(here: Scene) -> None:
    await here.enter(TEAM)


async def subscribe_presence(here: Scene) -> None:
    await here.enter(ROOM)


async def unsubscribe(here: Scene) -> None:
    await here.client.unsubscribe(ROOM)


async def trigger(here: Scene) -> None:
    await here.client.channels[TEAM].trigger("client-typing", {})


async def sign_in(here: Scene) -> None:
    await here.client.signin("ada")


async def read(here: Scene) -> None:
    await here.hub.trigger(NEWS, "paid", 1)
    await anext(here.client.channels[NEWS])


async def close(here: Scene) -> None:
    await here.client.close()


every_verb = pytest.mark.parametrize(
    ("verb", "inside"),
    [
        (subscribe_public, None),
        (subscribe_private, None),
        (subscribe_presence, None),
        (unsubscribe, ROOM),
        (trigger, TEAM),
        (sign_in, None),
        (read, NEWS),
        (close, ROOM),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
every_channel = pytest.mark.parametrize("name", [NEWS, TEAM, ROOM])
engines = pytest.mark.parametrize("engines", ["local", "slow"])


async def check(verb: Verb, inside: str | None, engines: str, give_up: GiveUp) -> None:
    done: list[bool] = []
    for after in EVERY_AWAIT:
        async with scene(engines) as here:
            if inside is not None:
                await here.enter(inside)
            await give_up(partial(here.perform, verb), after)
            done.append(bool(here.done))
            if here.client.closed is None:
                await here.is_sound()
                await here.works()
            await here.is_left()
    assert done[-1], "EVERY_AWAIT ends too early"


@engines
@every_verb
@pytest.mark.every_loop
async def test_a_verb_left_by_its_scope_leaves_nothing_half_done(verb, inside, engines):
    await check(verb, inside, engines, leave_scope)


@engines
@every_verb
async def test_a_verb_whose_task_is_cancelled_leaves_nothing_half_done(verb, inside, engines):
    await check(verb, inside, engines, cancel_task)


async def check_asking_at_once(name: str, engines: str, give_up: GiveUp) -> None:
    for after in EVERY_AWAIT:
        async with scene(engines) as here:
            await give_up(partial(here.enter, name), after)
            channel = await here.enter(name)
            await here.hub.trigger(name, "paid", 1)
            await here.is_sound()
            assert [event.data for event in channel.queued()] == [1]
            assert channel.members.me == (Member("ada") if name == ROOM else None)


@engines
@every_channel
@pytest.mark.every_loop
async def test_a_channel_asked_for_again_right_after_its_scope_was_left_is_subscribed(name, engines):
    await check_asking_at_once(name, engines, leave_scope)


@engines
@every_channel
async def test_a_channel_asked_for_again_right_after_its_task_was_cancelled_is_subscribed(name, engines):
    await check_asking_at_once(name, engines, cancel_task)


async def check_connecting(engines: str, give_up: GiveUp) -> None:
    for after in EVERY_AWAIT[:10]:
        async with scene(engines) as here:
            await here.is_left()
            await give_up(partial(here.perform, connect_another), after)
            await here.hub.settle()
            assert (here.hub.stats().connections, here.hub.check()) == (len(here.done), [])


async def connect_another(here: Scene) -> None:
    await connect(here.hub)


@engines
@pytest.mark.every_loop
async def test_connecting_left_by_its_scope_leaves_no_connection_that_nobody_has(engines):
    await check_connecting(engines, leave_scope)


@engines
async def test_connecting_in_a_task_that_is_cancelled_leaves_no_connection_that_nobody_has(engines):
    await check_connecting(engines, cancel_task)


async def check_reading(give_up: GiveUp) -> None:
    for after in EVERY_AWAIT:
        async with scene("slow") as here:
            news = await here.enter(NEWS)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish_three, here)
                await give_up(partial(read_all, here, news), after)
            assert [*here.done, *(event.data for event in news.queued())] == [0, 1, 2]


async def publish_three(here: Scene) -> None:
    for number in range(3):
        await here.hub.trigger(NEWS, "paid", number)


async def read_all(here: Scene, channel: Channel) -> None:
    async for event in channel:
        here.done.append(event.data)


@pytest.mark.every_loop
async def test_an_iteration_left_by_its_scope_loses_no_event():
    await check_reading(leave_scope)


async def test_an_iteration_whose_task_is_cancelled_loses_no_event():
    await check_reading(cancel_task)


@engines
@every_channel
@pytest.mark.every_loop
@pytest.mark.parametrize("given_up", [0, 1])
async def test_one_who_gives_up_takes_the_channel_from_nobody_else_who_asked_for_it(name, engines, given_up):
    for after in EVERY_AWAIT:
        async with scene(engines) as here:
            scopes = [anyio.CancelScope(), anyio.CancelScope()]
            async with anyio.create_task_group() as tasks:
                for scope in scopes:
                    tasks.start_soon(here.enter_in, scope, name)
                await checkpoints(after)
                scopes[given_up].cancel()
            await here.is_sound()
            assert here.client.channels[name] in here.done


@engines
@every_channel
@pytest.mark.every_loop
async def test_leaving_a_channel_while_it_is_asked_for_leaves_it(name, engines):
    for after in EVERY_AWAIT[2:]:
        async with scene(engines) as here:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(here.enter_or_be_refused, name)
                await checkpoints(after)
                await here.client.unsubscribe(name)
            await here.is_sound()
            assert name not in here.client.channels


@every_channel
@pytest.mark.every_loop
async def test_giving_up_waiting_for_a_channel_that_comes_back_keeps_it(name, relay):
    client = await relay.connect(reconnect=Backoff(first=1, most=1))
    enter = partial(client.subscribe, name, user_id="ada" if name == ROOM else None)
    channel = await enter()
    relay.lose_node()
    relay.restore_node()
    await leave_scope(enter, 3)
    assert not channel.subscribed
    await relay.clock.advance(1)
    assert channel.subscribed
