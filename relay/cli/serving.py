"""Listening until a signal comes: on an address, with TLS or without, and on a Unix socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from relay.cli.certificate import Certificate
from relay.cli.workers import LISTENER, Lifeline, Supervisor, listening
from relay.errors import BrokerError, UsageError

if TYPE_CHECKING:
    from aiohttp import web

    from relay.config import ServerConfig
    from relay.hub import Hub

_SHUTDOWN_SECONDS = 10.0
_LAST_CALL_SECONDS = 1.0
"""How long publishers that keep a connection open have to be told to leave it."""


def serve_application(application: web.Application, server: ServerConfig, what: str) -> int:
    """Run ``application`` until SIGINT or SIGTERM; prints one line when it listens. Returns the exit code.

    With TLS, SIGHUP reads the certificate again. With several workers this process only watches them: each is the same
    command once more, and SIGHUP replaces them one at a time. Raises :class:`UsageError` for a certificate that cannot
    be used.
    """
    lifeline = Lifeline.of(os.environ)
    if server.workers > 1 and lifeline is None:
        return _supervise(server, what)
    certificate = None
    if server.tls_cert is not None and server.tls_key is not None:
        certificate = Certificate(server.tls_cert, server.tls_key)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(application, server, what, certificate, lifeline))


def _supervise(server: ServerConfig, what: str) -> int:
    """Run as many processes as ``server`` wants, on one port."""
    assert server.address is not None
    host, port = server.address
    command = [sys.executable, *sys.orig_argv[1:]]
    try:
        with listening(host, port, server.workers) as listeners:
            place = _url(host, listeners[0].getsockname()[1], tls=server.tls_cert is not None) + server.prefix
            told = f"Relay listens on {place} ({what}; {server.workers} workers)"
            supervisor = Supervisor(command, listeners, grace=server.drain + _SHUTDOWN_SECONDS)
            return asyncio.run(supervisor.run(lambda: print(told, flush=True)))
    except OSError as error:
        return _cannot_listen(f"{host}:{port}", error)


async def _run(
    application: web.Application,
    server: ServerConfig,
    what: str,
    certificate: Certificate | None,
    lifeline: Lifeline | None,
) -> int:
    from aiohttp import web

    from relay_transports.aiohttp import HUB

    stop, replaced = asyncio.Event(), list[asyncio.Future[None]]()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if certificate is not None:
        loop.add_signal_handler(signal.SIGHUP, _reload, certificate)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    try:
        await runner.setup()
    except BrokerError as error:
        print(f"relay: {error}", file=sys.stderr, flush=True)
        return 1
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
            if lifeline is not None:
                lifeline.watch(stop.set, lambda: replaced.append(asyncio.ensure_future(_yield(runner, lifeline))))
                lifeline.ready()
            await stop.wait()
        except OSError as error:
            return _cannot_listen(place, error)
        finally:
            listeners.close()  # nobody new, before those that are here are told to go
            await _drain(runner, application.get(HUB), server.drain)
            await runner.cleanup()
    return 0


async def _yield(runner: web.AppRunner, lifeline: Lifeline) -> None:
    """Make way for another worker in this one's place."""
    await _stop_accepting(runner)
    lifeline.quiet()


async def _stop_accepting(runner: web.AppRunner) -> None:
    """Let nobody new in; those who are here stay."""
    for site in list(runner.sites):
        await site.stop()


async def _drain(runner: web.AppRunner, hub: Hub | None, over: float) -> None:
    """Send everybody away before aiohttp ends: it would cut publishers off whose connection is idle at that moment.

    They are told with their next answer to come back on another connection.
    """
    await _stop_accepting(runner)
    if hub is None or not over:
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(hub.drain(over), over + _SHUTDOWN_SECONDS)
    if runner.server is not None and runner.server.connections:
        await asyncio.sleep(min(over, _LAST_CALL_SECONDS))


def _cannot_listen(place: str, error: OSError) -> int:
    print(f"relay: cannot listen on {place}: {error.strerror or error}", file=sys.stderr)
    return 1


async def _listen(runner: web.AppRunner, host: str, port: int, certificate: Certificate | None) -> str:
    """Listen on an address, or accept on the socket that a supervisor gave us; returns its URL."""
    from aiohttp import web

    context = None if certificate is None else certificate.context
    if LISTENER in os.environ:
        given = socket.socket(fileno=int(os.environ[LISTENER]))
        await web.SockSite(runner, given, ssl_context=context, backlog=1024).start()
    else:
        await web.TCPSite(runner, host, port, ssl_context=context, backlog=1024).start()
    return _url(host, runner.addresses[0][1], tls=context is not None)


def _url(host: str, port: int, *, tls: bool) -> str:
    """Where somebody on this machine finds what listens on ``host``."""
    host = "localhost" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - told, not done
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{host}:{port}"


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
