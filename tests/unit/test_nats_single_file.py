"""Who waits behind one who finds NATS away does not find it out again."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from relay import BrokerError, BrokerUnavailable
from relay.cluster.nats.single_file import SingleFile


async def passing(file: SingleFile, work: Callable[[], Awaitable[None]]) -> str:
    try:
        async with file.turn():
            await work()
    except BrokerError as error:
        return str(error)
    return "done"


@pytest.mark.parametrize(
    ("error", "answers", "tries"),
    [
        (BrokerUnavailable("away"), ["away"] * 3, 1),
        (BrokerError("too large"), ["too large"] * 3, 3),
        (None, ["done"] * 3, 3),
    ],
)
async def test_those_who_waited_behind_one_that_could_not_be_served_are_answered_with_it(error, answers, tries):
    file, go, tried = SingleFile(), asyncio.Event(), 0

    async def work() -> None:
        nonlocal tried
        tried += 1
        await go.wait()
        if error is not None:
            raise error

    waiting = [asyncio.ensure_future(passing(file, work)) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    assert (await asyncio.gather(*waiting), tried) == (answers, tries)


async def test_who_comes_after_that_tries_anew():
    file = SingleFile()

    async def fail() -> None:
        raise BrokerUnavailable("away")

    async def work() -> None:
        pass

    assert [await passing(file, one) for one in (fail, fail, work)] == ["away", "away", "done"]
