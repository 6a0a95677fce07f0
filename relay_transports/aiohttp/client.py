"""The client over a WebSocket, to Relay or to any Pusher-compatible host."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import aiohttp
import anyio
import msgspec
from aiohttp import WSMsgType
from yarl import URL

from relay import __version__
from relay.client.channel import SubscriptionRefused
from relay.client.client import Client
from relay.client.connecting import Connecting
from relay.client.runtime import Closed, Link
from relay.client.settings import Authenticate, Authorize, Settings, SigninRefused, settled
from relay.clock import Clock, SystemClock
from relay.errors import UsageError
from relay.protocol import messages
from relay.protocol.messages import Member

_PING = messages.json_bytes({"event": "pusher:ping", "data": {}})
_PONG_SECONDS = 30.0
_GREETING_SECONDS = 30.0


class AsyncioRuntime:
    """Time and tasks for one client. Implements :class:`relay.client.runtime.Runtime`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def start_soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` in a task of its own."""

        async def run() -> None:
            await work()

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when the clock reaches ``when``; returns what takes that back."""
        taken_back = anyio.Event()

        async def wait() -> None:
            await self.clock.wait(taken_back, when)
            if not taken_back.is_set():
                callback()

        self.start_soon(wait)
        return taken_back.set

    async def finish(self, caller: asyncio.Task[Any] | None) -> None:
        """Cancel what still waits, ``caller`` excepted, and let it end."""
        tasks = [task for task in self._tasks if task is not caller]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class WebSocketLink:
    """One connection of a client. Implements :class:`relay.client.runtime.Link`."""

    def __init__(self, client: Client, socket: aiohttp.ClientWebSocketResponse, runtime: AsyncioRuntime) -> None:
        self._client = client
        self._socket = socket
        self._runtime = runtime
        self._over = False
        self._pinged = False
        self._greeted = False
        self._last_heard = now = runtime.clock.now()
        self._take_back = runtime.call_at(now + _GREETING_SECONDS, self._not_greeted)
        runtime.start_soon(self._read)

    async def send(self, text: bytes) -> None:
        """Send one text frame."""
        try:
            await self._socket.send_str(text.decode())
        except (ConnectionError, RuntimeError) as error:
            raise Closed(1006, str(error)) from None

    def pump(self) -> None:
        """Nothing to do: a task reads."""

    def close(self) -> None:
        """Say goodbye in a task of its own."""
        self._take_back()
        self._over = True
        self._runtime.start_soon(self._goodbye)

    async def _goodbye(self) -> None:
        await self._socket.close(code=1000)

    async def _read(self) -> None:
        closed = Closed(1006)
        try:
            while not self._over:
                message = await self._socket.receive()
                self._last_heard = self._runtime.clock.now()
                self._pinged = False
                if message.type is WSMsgType.TEXT:
                    self._client.feed(message.data.encode())
                    if not self._greeted and self._client.connection.socket_id is not None:
                        self._greeted = True
                        self._take_back()
                        self._watch()  # the greeting says how long the server may be silent
                elif message.type is WSMsgType.PING:
                    await self._socket.pong(message.data)
                elif message.type is WSMsgType.CLOSE:
                    closed = Closed(message.data or 1005, message.extra or "")
                    break
                elif message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                    closed = Closed(self._socket.close_code or 1006)
                    break
        finally:
            await self._socket.close()
        self._end(closed)

    def _not_greeted(self) -> None:
        """Nothing has shown that a server of the protocol is there."""
        self._give_up(f"the server did not greet within {_GREETING_SECONDS:g} s")

    def _give_up(self, why: str) -> None:
        if not self._over:
            self._runtime.start_soon(self._goodbye)
            self._end(Closed(1006, why))

    def _watch(self) -> None:
        """Ask a silent server whether it lives; give it up when it does not answer (protocol 1.6)."""
        if self._over:
            return
        now = self._runtime.clock.now()
        idle = self._client.activity_timeout
        if self._pinged and now - self._last_heard >= idle + _PONG_SECONDS:
            self._give_up("the server does not answer")
            return
        if now - self._last_heard >= idle:
            self._pinged = True
            self._runtime.start_soon(self._ping)
        due = self._last_heard + idle + (_PONG_SECONDS if self._pinged else 0.0)
        self._take_back = self._runtime.call_at(due, self._watch)

    async def _ping(self) -> None:
        try:
            await self.send(_PING)
        except Closed as closed:
            self._end(closed)

    def _end(self, closed: Closed) -> None:
        self._take_back()
        if not self._over:
            self._over = True
            self._client.ended(closed)


class WebSocketClient(Client):
    """A client that owns its tasks and, unless given one, its HTTP session."""

    runtime: AsyncioRuntime
    session: aiohttp.ClientSession
    owns_session: bool
    ending: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Go away, and wait until that is done; fine to call again. Cancelled, it is done all the same."""
        self.leave()
        caller = asyncio.current_task()
        try:
            await self._finish(caller)
        except asyncio.CancelledError:
            self.ending = asyncio.get_running_loop().create_task(self._finish(caller))
            raise

    async def _finish(self, caller: asyncio.Task[Any] | None) -> None:
        await asyncio.sleep(0)  # so that the goodbye is said
        await self.runtime.finish(caller)
        if self.owns_session:
            await self.session.close()


def connect(  # noqa: PLR0913 - all but the first are keyword-only
    url: str | URL,
    *,
    settings: Settings | None = None,
    authorize: Authorize | None = None,
    authenticate: Authenticate | None = None,
    auth_endpoint: str | URL | None = None,
    user_auth_endpoint: str | URL | None = None,
    auth_headers: Mapping[str, str] | None = None,
    ssl: ssl.SSLContext | bool = True,
    session: aiohttp.ClientSession | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
) -> Connecting[WebSocketClient]:
    """Connect to the host at ``url``, which ends in ``/app/KEY``.

    ::

        async with connect("ws://127.0.0.1:6001/app/app-key") as client:
            async for event in await client.subscribe("orders"):
                print(event.data)

    ``auth_endpoint`` and ``user_auth_endpoint`` are what pusher-js would post to, with ``auth_headers``;
    ``authorize`` and ``authenticate`` are functions instead, as in :class:`relay.client.Settings`. It reconnects,
    re-authorizes and re-subscribes by itself.

    Raises :class:`Closed` when the first attempt fails for good, :class:`UsageError` for a URL that cannot be.
    """
    address = _address(URL(url))
    settings = settled(settings, authorize, authenticate)

    async def open_() -> WebSocketClient:
        runtime = AsyncioRuntime(clock or SystemClock())
        http = session or aiohttp.ClientSession()
        own = _with_endpoints(settings, _Endpoints(http, auth_headers, ssl), auth_endpoint, user_auth_endpoint)

        async def connector(client: Client) -> Link:
            try:
                socket = await http.ws_connect(address, autoping=False, autoclose=False, max_msg_size=0, ssl=ssl)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise Closed(1006, f"cannot connect to {address.host}:{address.port}: {error}") from None
            return WebSocketLink(client, socket, runtime)

        client = WebSocketClient(connector, runtime, own, random=random or Random())  # noqa: S311 - jitter, not secrets
        client.runtime, client.session, client.owns_session = runtime, http, session is None
        try:
            await client.open()
        except BaseException:
            await client.close()
            raise
        return client

    return Connecting(open_)


def _address(url: URL) -> URL:
    schemes = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
    if url.scheme not in schemes or not url.host or len(url.parts) < 3 or url.parts[-2] != "app":
        raise UsageError(f"a client's URL looks like wss://HOST/app/KEY, got {url.scheme}://{url.host or ''}{url.path}")
    return url.with_scheme(schemes[url.scheme]).with_query(protocol="7", client="relay-python", version=__version__)


class _Endpoints(msgspec.Struct):
    """How auth endpoints are asked."""

    http: aiohttp.ClientSession
    headers: Mapping[str, str] | None
    ssl: ssl.SSLContext | bool

    async def post(self, url: str | URL, form: dict[str, str]) -> tuple[int, dict[str, str] | str]:
        """Status, and the JSON object that a good answer holds or the text of any other."""
        try:
            async with self.http.post(url, data=form, headers=self.headers, ssl=self.ssl) as response:
                body = await response.read()
                if response.status not in (200, 201):
                    return response.status, body[:200].decode("utf-8", "replace").strip()
                return response.status, msgspec.json.decode(body, type=dict[str, str])
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            return 0, f"{type(error).__name__}: {error}"


def _with_endpoints(
    settings: Settings, endpoints: _Endpoints, channels: str | URL | None, users: str | URL | None
) -> Settings:
    async def authorize(socket_id: str, channel: str, _: Member | None) -> Mapping[str, str]:
        assert channels is not None
        status, answer = await endpoints.post(channels, {"socket_id": socket_id, "channel_name": channel})
        if isinstance(answer, str):
            raise SubscriptionRefused(channel, f"auth endpoint answered {status or 'nothing'}: {answer}", status)
        return answer

    async def authenticate(socket_id: str, _: Member | None) -> Mapping[str, str]:
        assert users is not None
        status, answer = await endpoints.post(users, {"socket_id": socket_id})
        if isinstance(answer, str):
            raise SigninRefused(f"user auth endpoint answered {status or 'nothing'}: {answer}", status)
        return answer

    return msgspec.structs.replace(
        settings,
        authorize=settings.authorize or (authorize if channels is not None else None),
        authenticate=settings.authenticate or (authenticate if users is not None else None),
    )
