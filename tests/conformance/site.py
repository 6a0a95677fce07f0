"""The application beside the server: it knows its users, signs for them, serves pages, and publishes for them.

It is a web server of its own, so that clients meet the server under test from another origin, as real ones do.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.conformance import reference
from tests.conformance.reference import Credentials

HERE = Path(__file__).parent
_TYPES = {".js": "text/javascript", ".html": "text/html"}

Sign = Callable[[str, str, str], Mapping[str, Any]]
"""``sign(user, socket_id, channel)``: what an auth endpoint answers; for an empty channel, the user-auth endpoint."""


class Site:
    """What the application does for its users; checks replace ``sign`` and ``publish``."""

    def __init__(self, app: Credentials) -> None:
        self.app = app
        self.url = ""
        self.scripts: dict[str, Path] = {}
        """Files served below ``/scripts/``."""
        self.watchlists: dict[str, list[str]] = {}
        """Whom each user watches."""
        self.publish: Callable[[str, str, object, str | None], object] = lambda *_: None
        """What it does when a page or client asks it to say something: channel, event, data, the socket to spare."""
        self.sign: Sign = self.reference_sign

    def reference_sign(self, user: str, socket_id: str, channel: str) -> Mapping[str, Any]:
        """The answer by the book; channels named ``stranger`` are signed for another socket."""
        info = {"name": user.title()}
        if not channel:
            told: dict[str, Any] = {"id": user, "user_info": info}
            if user in self.watchlists:
                told["watchlist"] = self.watchlists[user]
            return reference.authentication(self.app, socket_id, told)
        if "stranger" in channel:
            socket_id = "1.1"
        if "unnamed" in channel:  # enough for a connection that is signed in
            return {"auth": self.app.sign(f"{socket_id}:{channel}")}
        return reference.authorization(self.app, socket_id, channel, {"user_id": user, "user_info": info})


def _door(site: Site) -> type[BaseHTTPRequestHandler]:
    """How requests find the site."""

    class Door(BaseHTTPRequestHandler):
        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            file = site.scripts.get(path.removeprefix("/scripts/"), HERE / "drivers" / Path(path).name)
            if file.suffix not in _TYPES or not file.is_file():
                return self._answer(404, b"", "text/plain")
            return self._answer(200, file.read_bytes(), _TYPES[file.suffix])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            answer: Mapping[str, Any] = {}
            if self.path == "/say":
                said = json.loads(body)
                site.publish(said["channel"], said["event"], said["data"], self.headers.get("X-Socket-Id"))
            else:
                form = {name: values[0] for name, values in parse_qs(body).items()}
                answer = site.sign(self.headers.get("X-User", ""), form["socket_id"], form.get("channel_name", ""))
            return self._answer(200, json.dumps(answer).encode(), "application/json")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Door


@contextmanager
def serving(app: Credentials) -> Iterator[Site]:
    """The site on a free port of this machine, until the block ends."""
    site = Site(app)
    with ThreadingHTTPServer(("127.0.0.1", 0), _door(site)) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, name="conformance site", daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join(reference.TIMEOUT)
