"""Webhooks of nodes in processes of their own, which meet at one engine: each edge is told once, by one of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import nats_server, redis_server
from tests.integration import nats_nodes, redis_nodes
from tests.integration.hostile import Hostile, hostile
from tests.integration.node_process import Process, Settings, process
from tests.integration.redis_nodes import ROOM, until

Told = tuple[str, str, str, str | None]
"""Which node told it, what, of which channel and which user."""


@pytest.fixture(params=["redis", "nats"])
def engine(request, require) -> Iterator[tuple[str, Settings]]:
    """Where nodes meet, and their settings."""
    if request.param == "redis":
        with redis_server.running(require("redis-server", redis_server.INSTALL)) as redis:
            yield redis.url, redis_nodes.QUICK
    else:
        with nats_server.running(require("nats-server", nats_server.INSTALL)) as nats:
            yield nats.url, nats_nodes.QUICK


async def started(stack: ExitStack, engine: tuple[str, Settings], receiver: Hostile, *names: str) -> list[Process]:
    """Nodes that each have a path of their own at the receiver."""
    made = [stack.enter_context(process(*engine, f"{receiver.url}/{name}")) for name in names]
    for node in made:
        await node.hear("ready")
    return made


def told(receiver: Hostile) -> list[Told]:
    return [
        (asked.target.strip("/"), event["name"], event["channel"], event.get("user_id"))
        for asked in receiver.asked
        for event in asked.json["events"]
    ]


async def test_each_edge_is_told_once_by_the_node_that_decided_it(engine):
    with ExitStack() as stack:
        async with hostile() as receiver:
            here, there = await started(stack, engine, receiver, "here", "there")
            await here.do(f"join {ROOM} ada")
            await there.do(f"join {ROOM} ada")
            await there.do("join news bob")
            await here.do("join news eve")
            await here.do("leave ada")
            await there.do("leave ada")
            await there.do("leave bob")
            await until(lambda: len(told(receiver)) >= 5)
            await here.finish()
            await there.finish()
            assert sorted(told(receiver)) == [
                ("here", "channel_occupied", ROOM, None),
                ("here", "channel_vacated", "news", None),
                ("here", "member_added", ROOM, "ada"),
                ("there", "channel_occupied", "news", None),
                ("there", "channel_vacated", ROOM, None),
                ("there", "member_removed", ROOM, "ada"),
            ]


async def test_what_a_killed_node_left_is_told_once_by_one_of_those_who_are_there(engine):
    with ExitStack() as stack:
        async with hostile() as receiver:
            dying, here, there = await started(stack, engine, receiver, "dying", "here", "there")
            for line in (f"join {ROOM} ada", f"join {ROOM} bob", "join news eve"):
                await dying.do(line)
            await there.do(f"join {ROOM} bob")
            await until(lambda: len(told(receiver)) >= 4)
            assert sorted(told(receiver)) == [
                ("dying", "channel_occupied", "news", None),
                ("dying", "channel_occupied", ROOM, None),
                ("dying", "member_added", ROOM, "ada"),
                ("dying", "member_added", ROOM, "bob"),
            ]
            dying.send(signal.SIGKILL)
            await until(lambda: len(told(receiver)) >= 6)
            await here.finish()
            await there.finish()  # with it goes bob, who had a tab on it
            told_later = told(receiver)[4:]
            assert sorted(event for _, *event in told_later) == [
                ["channel_vacated", "news", None],
                ["channel_vacated", ROOM, None],
                ["member_removed", ROOM, "ada"],
                ["member_removed", ROOM, "bob"],
            ]
            assert {node for node, *_ in told_later} <= {"here", "there"}
