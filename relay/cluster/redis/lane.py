"""Commands to Redis, in the order they are given, over one connection: those of one moment travel together."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from relay.cluster.redis.address import Argument, Line, Place
from relay.cluster.redis.scripts import SCRIPT
from relay.cluster.redis.settings import RedisSettings
from relay.errors import BrokerError, BrokerUnavailable, UsageError

BROKEN: Final = (RedisError, RedisClusterException, OSError, TimeoutError, EOFError)
"""What redis-py raises when a connection is of no use any more."""

_ELSEWHERE: Final = (ReadOnlyError, AskError, TryAgainError, ClusterDownError, MasterDownError)
"""What a server answers that is not, or not yet, the one to ask: after a failover, while a cluster moves slots."""

_WORDS: Final = {NoPermissionError: "NOPERM ", OutOfMemoryError: "OOM "}
"""What redis-py takes away from what Redis says, and its users look for."""

_MOST_AT_ONCE: Final = 1000
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)


def refusal(error: ResponseError) -> str:
    """What Redis said."""
    return f"Redis refuses: {_WORDS.get(type(error), '')}{error}"


def reason(error: BaseException) -> str:
    """Why something failed. What Redis said goes before what redis-py makes of it, to which a missing right means that
    cluster mode is off.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ResponseError):
            return refusal(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def running_loop() -> asyncio.AbstractEventLoop:
    """The loop we run on. Raises :class:`UsageError` where that is not asyncio's, or as good as that."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("redis-py needs asyncio: run the hub on it, or on uvloop") from None


class _Call:
    __slots__ = ("answer", "command")

    def __init__(self, command: tuple[Argument, ...], answer: asyncio.Future[object]) -> None:
        self.command, self.answer = command, answer


class Lane:
    """One node's way to the Redis where ``key`` is, for everything but listening.

    Commands take effect in the order in which ``send`` is called. None is ever sent twice: when the connection is lost,
    those under way fail, and so does every further one, at once, until Redis answers again.
    """

    def __init__(self, place: Place, key: bytes, settings: RedisSettings) -> None:
        self._place, self._key = place, key
        self._patience = settings.patience
        self._most = settings.in_flight
        self._waiting: deque[_Call] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self.down: str | None = None
        """Why Redis cannot be asked now, or None."""

    def send(self, *command: Argument) -> asyncio.Future[object]:
        """Redis's answer, with its place in the order taken already.

        Raises :class:`BrokerUnavailable`, now or when waited for, when Redis gives none within twice its patience, or
        as many commands wait as may; :class:`BrokerError` when it refuses.
        """
        if self.down is not None:
            raise BrokerUnavailable(self.down, maybe_done=False)
        if len(self._waiting) >= self._most:
            raise BrokerUnavailable(f"{self._most} commands wait for Redis already", maybe_done=False)
        loop = running_loop()
        if self._worker is None:
            self._news = asyncio.Event()
            self._worker = loop.create_task(self._work())
        answer: asyncio.Future[object] = loop.create_future()
        self._waiting.append(_Call(command, answer))
        self._news.set()
        return answer

    async def close(self) -> None:
        """Let go of Redis; what is under way fails. The next call begins anew."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        self._fail([], "closed")
        self.down = None

    async def _work(self) -> None:
        """Connect, work off what waits, and begin again when the connection is lost; for ever."""
        pause = _FIRST_PAUSE
        while True:
            connection = None
            try:
                async with asyncio.timeout(self._patience):
                    connection = await self._place.connect(self._key)
                self.down = None
                while True:
                    await self._news.wait()
                    self._news.clear()
                    while self._waiting:
                        await self._exchange(connection)
                        pause = _FIRST_PAUSE
            except Exception as error:  # noqa: BLE001 - whatever it is, whoever asks must not wait for ever
                if self.down is None:
                    strange = None if isinstance(error, BROKEN) else error
                    _log.warning("Redis cannot be asked", extra={"error": str(error)}, exc_info=strange)
                self._fail([], f"Redis cannot be asked: {type(error).__name__}")
            finally:
                if connection is not None:
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _exchange(self, connection: Line) -> None:
        """Send what waits and take in the answers."""
        if _hung_up(connection):
            raise ConnectionError("Redis closed the connection")  # so what waits was surely not sent
        calls: list[_Call] = []
        while self._waiting and len(calls) < _MOST_AT_ONCE:
            call = self._waiting.popleft()
            if not call.answer.done():  # whoever asked may have given up
                calls.append(call)
        try:
            async with asyncio.timeout(self._patience):
                unknown = await self._ask(connection, calls)
                if unknown:  # Redis was restarted or emptied: it knows all of the script or nothing
                    why = "Redis forgets scripts as soon as it has them"
                    await connection.send_command(b"SCRIPT", b"LOAD", SCRIPT, check_health=False)
                    try:
                        await connection.read_response()
                        unknown = await self._ask(connection, unknown)
                    except _ELSEWHERE:
                        raise
                    except ResponseError as error:
                        why = refusal(error)
                    for call in unknown:
                        if not call.answer.done():
                            call.answer.set_exception(BrokerError(why))
        except BaseException as error:
            self._fail(calls, f"Redis gave no answer: {type(error).__name__}")
            raise

    async def _ask(self, connection: Line, calls: list[_Call]) -> list[_Call]:
        """Those calls whose script Redis does not know."""
        unknown = []
        packed = connection.pack_commands([call.command for call in calls])
        await connection.send_packed_command(packed, check_health=False)
        for call in calls:
            try:
                answer = await connection.read_response()
            except NoScriptError:
                unknown.append(call)
            except _ELSEWHERE:
                raise
            except ResponseError as error:
                if not call.answer.done():
                    call.answer.set_exception(BrokerError(refusal(error)))
            else:
                if not call.answer.done():
                    call.answer.set_result(answer)
        return unknown

    def _fail(self, calls: list[_Call], why: str) -> None:
        self.down = why
        waiting, self._waiting = self._waiting, deque()
        tried = len(calls)
        for number, call in enumerate((*calls, *waiting)):
            if not call.answer.done():
                call.answer.set_exception(BrokerUnavailable(why, maybe_done=number < tried))


def _hung_up(connection: Line) -> bool:
    """Whether Redis ended the connection while nothing was under way. redis-py has no public way to ask for that."""
    reader: asyncio.StreamReader | None = getattr(connection, "_reader", None)
    return reader is not None and (reader.at_eof() or reader.exception() is not None)
