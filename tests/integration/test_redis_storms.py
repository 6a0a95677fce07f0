"""Very many who subscribe at once: what another node publishes is heard by each of them."""

from collections import Counter

import anyio

from relay.cluster.broker import Envelope
from relay.cluster.redis import RedisBroker, RedisSettings
from tests.integration.redis_nodes import QUICK
from tests.redis_server import running

TOPICS = 8000


async def test_a_storm_of_subscribes_leaves_no_channel_unheard(redis_program):
    with running(redis_program) as server:
        here, there = RedisBroker(server.url, QUICK), RedisBroker(server.url, QUICK)
        heard: Counter[str] = Counter()
        complete = anyio.Event()

        def hear(envelope: Envelope) -> None:
            heard[envelope.channel] += 1
            if len(heard) == TOPICS:
                complete.set()

        await here.start(hear)
        await there.start(lambda _: None)
        try:
            async with anyio.create_task_group() as subscribing:
                for number in range(TOPICS):
                    subscribing.start_soon(here.subscribe, "1", f"channel-{number}")
            assert here.healthy
            for number in range(TOPICS):
                await there.publish(Envelope(app="1", channel=f"channel-{number}", text=b"{}"))
            with anyio.fail_after(20):
                await complete.wait()
            assert set(heard.values()) == {1}
        finally:
            await here.close()
            await there.close()


async def test_who_comes_and_goes_at_once_ends_as_the_last_word_said(redis_program):
    with running(redis_program) as server:
        broker = RedisBroker(server.url, QUICK)
        await broker.start(lambda _: None)
        try:
            async with anyio.create_task_group() as asking:
                for number in range(600):
                    asking.start_soon(broker.subscribe, "1", f"channel-{number}")
                for number in range(600):
                    asking.start_soon(broker.unsubscribe, "1", f"channel-{number}")
                for number in range(0, 600, 2):
                    asking.start_soon(broker.subscribe, "1", f"channel-{number}")
            left = {int(topic.rpartition(b"-")[2]) for topic in server.ask("PUBSUB", "CHANNELS", "*channel-*")}
            assert left == set(range(0, 600, 2))
        finally:
            await broker.close()


async def test_who_gives_up_waiting_for_a_subscribe_takes_nobody_elses_with_it(redis_program):
    with running(redis_program) as server:
        broker = RedisBroker(server.url, RedisSettings())
        lost: list[str] = []

        async def restored() -> None:
            lost.append("restored")

        broker.watch(lambda: lost.append("lost"), restored)
        await broker.start(lambda _: None)
        try:
            server.pause()
            async with anyio.create_task_group() as asking:
                asking.start_soon(broker.subscribe, "1", "patient")
                impatient = anyio.CancelScope()

                async def give_up() -> None:
                    with impatient:
                        await broker.subscribe("1", "impatient")

                asking.start_soon(give_up)
                await anyio.wait_all_tasks_blocked()
                impatient.cancel()
                await anyio.wait_all_tasks_blocked()
                server.resume()
            assert (broker.healthy, lost) == (True, [])
            topics = [topic.rpartition(b":")[2] for topic in server.ask("PUBSUB", "CHANNELS", "*patient")]
            assert sorted(topics) == [b"impatient", b"patient"]  # it is wanted until somebody says that it is not
        finally:
            await broker.close()
