"""Listening until a signal comes: on an address, with TLS or without, and on a Unix socket."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from relay.cli.certificate import Certificate
from relay.errors import UsageError

if TYPE_CHECKING:
    from aiohttp import web

    from relay.config import ServerConfig

_SHUTDOWN_SECONDS = 10.0


def serve_application(application: web.Application, server: ServerConfig, what: str) -> int:
    """Run ``application`` until SIGINT or SIGTERM; prints one line when it listens. Returns the exit code.

    With TLS, SIGHUP reads the certificate again. Raises :class:`UsageError` for a certificate that cannot be used.
    """
    certificate = None
    if server.tls_cert is not None and server.tls_key is not None:
        certificate = Certificate(server.tls_cert, server.tls_key)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(application, server, what, certificate))


async def _run(application: web.Application, server: ServerConfig, what: str, certificate: Certificate | None) -> int:
    from aiohttp import web

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if certificate is not None:
        loop.add_signal_handler(signal.SIGHUP, _reload, certificate)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    place = ""
    with ExitStack() as listeners:
        try:
            places = []
            if server.address is not None:
                host, port = server.address
                place = f"{host}:{port}"
                places.append(await _listen(runner, host, port, certificate) + server.prefix)
            if server.unix is not None:
                place = f"unix:{server.unix}"
                places.append(await _listen_on_unix(runner, server.unix, listeners))
            print(f"Relay listens on {' and '.join(places)} ({what})", flush=True)
            await stop.wait()
        except OSError as error:
            print(f"relay: cannot listen on {place}: {error.strerror or error}", file=sys.stderr)
            return 1
        finally:
            listeners.close()  # nobody new, before those that are here are told to go
            await runner.cleanup()
    return 0


async def _listen(runner: web.AppRunner, host: str, port: int, certificate: Certificate | None) -> str:
    """Listen on an address; returns its URL."""
    from aiohttp import web

    context = None if certificate is None else certificate.context
    await web.TCPSite(runner, host, port, ssl_context=context, backlog=1024).start()
    host = "localhost" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - told, not done
    host = f"[{host}]" if ":" in host else host
    return f"{'http' if context is None else 'https'}://{host}:{runner.addresses[0][1]}"


async def _listen_on_unix(runner: web.AppRunner, path: str, listeners: ExitStack) -> str:
    """Listen on a Unix socket until ``listeners`` ends; returns where."""
    from relay.cli.unix import UnixSocket

    unix = UnixSocket(path)
    listeners.callback(unix.remove)
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_unix_server(runner.server, sock=unix.socket, backlog=1024)
    listeners.callback(server.close)
    return f"unix:{unix.path}"


def _reload(certificate: Certificate) -> None:
    """Tell what became of the new files. They are small, and read on the loop: reloads cannot overtake each other."""
    try:
        certificate.reload()
    except UsageError as error:
        print(f"relay: the certificate stays as it was: {error}", file=sys.stderr, flush=True)
    else:
        print("Relay has read the certificate again", flush=True)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed, else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
