"""Waiting with patience: a loop that stood still is no Redis that did not answer."""

import asyncio
import gc
import time

import pytest

from relay.cluster.redis.waiting import within


async def test_what_comes_in_time_is_returned_and_what_it_raises_is_raised():
    async def fail() -> None:
        raise ConnectionError("gone")

    assert await within(5.0, asyncio.sleep(0, "answer")) == "answer"
    with pytest.raises(ConnectionError, match="gone"):
        await within(5.0, fail())


async def test_what_does_not_come_is_given_up_and_cancelled():
    ended: list[bool] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, hang())
    assert ended == [True]


async def test_an_answer_that_is_there_when_the_loop_turns_again_is_taken():
    there = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stand_still() -> None:
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass
        loop.call_soon(loop.call_soon, there.set)  # read a turn or two after the time was over

    loop.call_soon(stand_still)
    assert await within(0.05, there.wait())


async def test_what_fails_when_nobody_waits_any_more_is_no_error_of_the_loop():
    async def fail_when_given_up() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("gone") from None

    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with pytest.raises(TimeoutError):
        await within(0.01, fail_when_given_up())
    gc.collect()
    assert complaints == []
