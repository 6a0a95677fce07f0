"""A whole application with a hub inside: presence, chat, typing and payments between two people on one page.

Run it with ``make serve``, or over several processes with ``make serve WORKERS=2``. The page in ``static`` uses
pusher-js where npm could install it, and otherwise ``static/client.js``, a small client with the same names.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from relay import App, Hub, Member, UsageError
from relay.cli import cluster_of, serve_application
from relay.config import ServerConfig
from relay_transports.aiohttp import HUB, setup

HERE = Path(__file__).parent
PUSHER_JS = HERE / "node_modules" / "pusher-js" / "dist" / "web" / "pusher.min.js"

ROOM = "presence-room"
PAYMENTS = "pay_channel"
MAX_NAME = 24
MAX_TEXT = 500
WHO = f"say who you are: user is 16 hexadecimal digits, name 1 to {MAX_NAME} printable characters\n"

CLUSTER = "DEMO_CLUSTER"
"""Where workers are told of the Redis that links them."""
UNTIL_WE_ARE_GONE = '"$@" & read -r _; kill $!; wait $!; rm -rf "$0"'
"""What keeps Redis running: it reads a pipe that only we hold, which ends with us even when we are killed."""
ONLY_OURS = {"Content-Security-Policy": "default-src 'self'"}  # the page loads nothing from anywhere else


class Visitor(NamedTuple):
    """One person on the page; a page shows two, so a cookie could not tell them apart."""

    id: str
    name: str


async def visitor(request: web.Request) -> Visitor | None:
    """Who is asking. Here the page just says so: in your application this is a session or a token."""
    form = await request.post()
    user, name = form.get("user"), form.get("name")
    if not isinstance(user, str) or not re.fullmatch("[0-9a-f]{16}", user):
        return None
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name.strip()) <= MAX_NAME:
        return None
    return Visitor(user, name.strip())


async def authorize(request: web.Request, channel: str) -> Member | bool:
    """Let every visitor into the room, and nobody into any other private channel."""
    user = await visitor(request)
    if user is None or channel != ROOM:
        return False
    return Member(user.id, {"name": user.name})


async def chat(request: web.Request) -> web.Response:
    """A message for everybody in the room, the writer too: all see the same order."""
    author, text = await visitor(request), (await request.post()).get("text")
    if author is None:
        raise web.HTTPForbidden(text=WHO)
    if not isinstance(text, str) or not 1 <= len(text.strip()) <= MAX_TEXT:
        raise web.HTTPBadRequest(text=f"text must have 1 to {MAX_TEXT} characters\n")
    receipt = await request.app[HUB].trigger(ROOM, "message", {**author._asdict(), "text": text.strip()})
    return web.json_response({"delivered": receipt.delivered, "remote": receipt.remote})


async def pay(request: web.Request) -> web.Response:
    """A payment. The connection that made it knows already, so all others hear of it."""
    payer = await visitor(request)
    if payer is None:
        raise web.HTTPForbidden(text=WHO)
    try:
        receipt = await request.app[HUB].trigger(
            PAYMENTS,
            "pay_notify",
            {"message": "pay success!", **payer._asdict()},
            socket_id=request.headers.get("X-Socket-ID"),
        )
    except UsageError as error:  # the header comes from outside
        raise web.HTTPBadRequest(text=f"{error}\n") from None
    return web.json_response({"delivered": receipt.delivered, "remote": receipt.remote})


async def index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(HERE / "static" / "index.html", headers=ONLY_OURS)


async def settings(request: web.Request) -> web.Response:
    """What the page has to know before it can connect."""
    return web.json_response({"key": request.app[HUB].apps[0].key, "pusher_js": PUSHER_JS.is_file()})


async def pusher_js(_: web.Request) -> web.FileResponse:
    return web.FileResponse(PUSHER_JS)


def build() -> web.Application:
    cluster = cluster_of(os.environ[CLUSTER]) if CLUSTER in os.environ else None
    hub = Hub(App(id="1001", key="demo-key", secret="demo-secret", client_events=True), cluster=cluster)
    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/settings", settings)
    app.router.add_post("/chat", chat)
    app.router.add_post("/pay", pay)
    app.router.add_get("/static/pusher.min.js", pusher_js)
    app.router.add_static("/static", HERE / "static")
    setup(app, hub, authorize=authorize, fallbacks=cluster is None)  # workers know each only their own sessions
    return app


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis of our own, on no port, for as long as the demo runs."""
    program = shutil.which("redis-server")
    if program is None:
        raise UsageError("several workers need Redis between them, and redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        where = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", "--dir", folder, "--save", ""]
        command = ["/bin/sh", "-c", UNTIL_WE_ARE_GONE, folder, program, *where]
        # A session of its own: Ctrl-C is for us. Leaving the block closes the pipe, and waits for both.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True):  # noqa: S603
            yield f"unix://{folder}/redis.sock"


def main() -> int:
    parser = argparse.ArgumentParser(description="Relay's demo: open the address it prints in a browser.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", default=6001, type=int, help="port, 0 for any free one (default: 6001)")
    parser.add_argument("--workers", default=1, type=int, help="processes, with Redis between them (default: 1)")
    options = parser.parse_args()
    told = "demo: open it in a browser, Ctrl-C stops it"
    if options.workers == 1 or CLUSTER in os.environ:
        return serve_application(
            build(), ServerConfig(host=options.host, port=options.port, workers=options.workers), told
        )
    with redis() as url:
        os.environ[CLUSTER] = url  # for the workers, which are this program once more
        where = ServerConfig(host=options.host, port=options.port, workers=options.workers, cluster=url)
        return serve_application(web.Application(), where, told)


if __name__ == "__main__":
    sys.exit(main())
