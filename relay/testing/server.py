"""A hub on a real port, in a thread of its own, for code that speaks HTTP: SDKs, browsers, programs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from relay.app import App
from relay.clock import SystemClock
from relay.errors import RelayError
from relay.testing.kit import DEFAULT_APP, PublishedEvent, RecordingHub

if TYPE_CHECKING:
    from aiohttp import web

T = TypeVar("T")
_PATIENCE = 10.0


class Server:
    """A hub behind aiohttp on ``127.0.0.1`` and a free port, started by ``start``, ended by ``stop``.

    ``env``, ``pusher`` and ``pusher_js`` are ready-made settings: environment variables such as ``PUSHER_URL``,
    keyword arguments for ``pusher.Pusher``, options for pusher-js. Blocking code may use it from any thread.
    """

    def __init__(self, *apps: App) -> None:
        self.app = apps[0] if apps else DEFAULT_APP
        self.hub = RecordingHub(*(apps or (DEFAULT_APP,)), clock=SystemClock())
        self.host = "127.0.0.1"
        self.port = 0
        self._thread = threading.Thread(target=self._serve, name="relay server", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> Server:
        """Listen; returns when it does. Raises :class:`ImportError` without the ``aiohttp`` extra."""
        import relay_transports.aiohttp  # noqa: F401 - here, not in the thread, it says what is missing

        self._thread.start()
        self._ready.wait(_PATIENCE)
        if self._failure is not None or not self.port:
            raise RelayError(f"the test server did not start: {self._failure or 'no answer'}")
        return self

    def stop(self) -> None:
        """Close the clients and stop listening; returns when that is done."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE)

    @property
    def url(self) -> str:
        """``http://key:secret@host:port/apps/id``, the form of ``PUSHER_URL``."""
        secret = quote(self.app.secret, safe="")
        return f"http://{self.app.key}:{secret}@{self.host}:{self.port}/apps/{self.app.id}"

    @property
    def ws_url(self) -> str:
        """What ``relay_transports.aiohttp.connect`` takes."""
        return f"ws://{self.host}:{self.port}/app/{self.app.key}"

    @property
    def env(self) -> dict[str, str]:
        """Environment variables that SDKs and frameworks read."""
        return {
            "PUSHER_URL": self.url,
            "PUSHER_APP_ID": self.app.id,
            "PUSHER_KEY": self.app.key,
            "PUSHER_APP_KEY": self.app.key,
            "PUSHER_SECRET": self.app.secret,
            "PUSHER_APP_SECRET": self.app.secret,
            "PUSHER_HOST": self.host,
            "PUSHER_PORT": str(self.port),
            "PUSHER_SCHEME": "http",
        }

    @property
    def pusher(self) -> dict[str, object]:
        """Keyword arguments for ``pusher.Pusher``."""
        return {
            "app_id": self.app.id,
            "key": self.app.key,
            "secret": self.app.secret,
            "host": self.host,
            "port": self.port,
            "ssl": False,
            "encryption_master_key_base64": self.app.encryption_master_key,
        }

    @property
    def pusher_js(self) -> dict[str, object]:
        """Options for ``new Pusher(key, options)``."""
        return {
            "wsHost": self.host,
            "wsPort": self.port,
            "forceTLS": False,
            "enabledTransports": ["ws"],
            "cluster": "test",
        }

    def published(
        self, channel: str | None = None, event: str | None = None, *, app: App | str | None = None
    ) -> list[PublishedEvent]:
        """What was published so far, oldest first; to ``channel``, under the name ``event``, for ``app`` if given."""
        return self.hub.published_to(channel, event, app)

    def call(self, function: Callable[[], T]) -> T:
        """``function()`` in the server's own thread, to look at its hub. Raises what it raises."""
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                answer.set_exception(error)

        if self._loop is None or not self._thread.is_alive():
            raise RelayError("the test server does not run")
        self._loop.call_soon_threadsafe(run)
        try:
            return answer.result(_PATIENCE)
        except FutureTimeout:
            if answer.done():
                raise  # the function's own
            raise RelayError(f"the test server did not answer within {_PATIENCE:g} s") from None

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - start() tells it in the test's own thread
            self._failure = error
        finally:
            self._ready.set()

    async def _run(self) -> None:
        from aiohttp import web

        from relay_transports.aiohttp import setup

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application: web.Application = web.Application()
        setup(application, self.hub)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_PATIENCE)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, 0).start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()
