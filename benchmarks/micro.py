"""Micro benchmarks of the pure parts: ``python -m benchmarks.micro``, with pyperf's own options.

``--fast`` is quicker and ``-o FILE`` keeps the results, for ``python -m pyperf compare_to`` too. The report has those
of the scenario ``micro``, which runs this.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pyperf

from benchmarks.peers.serving import payload
from relay import App
from relay.protocol import messages, rest, signing
from relay.protocol.session import Session
from relay_transports.frames import WEBSOCKET
from relay_transports.reader import FrameReader

APP = App(id="1", key="key", secret="secret", client_events=True, client_event_rate=1_000_000)
SOCKET_ID = "1234.5678"
CHANNEL = "private-bench"
NOW = 1_700_000_000.0
DATA = payload()
SUBSCRIBE = b'{"event":"pusher:subscribe","data":{"channel":"bench"}}'
CLIENT_EVENT = messages.event("client-tick", CHANNEL, DATA)


def masked(text: bytes) -> bytes:
    """A client's text frame as browsers send it, with a mask."""
    mask = b"\x12\x34\x56\x78"
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + mask + body


def read_frame() -> Callable[[], object]:
    """Bytes of a client to a message."""
    reader, data = FrameReader(1 << 20), masked(CLIENT_EVENT)
    return lambda: reader.feed(data)


def verify_channel() -> Callable[[], object]:
    """What a subscribe to a private channel has to pass."""
    auth = signing.sign_channel(APP, SOCKET_ID, CHANNEL)
    return lambda: signing.verify_channel(APP, SOCKET_ID, CHANNEL, channel_data=None, auth=auth, presence=False)


def rest_request() -> rest.Request:
    """A trigger as server SDKs send it."""
    body = messages.json_bytes({"name": "tick", "channels": ["bench"], "data": DATA})
    query = signing.sign_rest(APP, "POST", "/apps/1/events", query=[], body=body, now=NOW)
    return rest.Request("POST", f"/apps/1/events?{urlencode(query)}", body)


def parse_rest() -> Callable[[], object]:
    """A whole REST request: route, signature, MD5, body, event."""
    request = rest_request()
    return lambda: rest.parse(request, {APP.id: APP, APP.key: APP}.get, NOW)


def verify_rest() -> Callable[[], object]:
    """The signature and the MD5 alone."""
    request = rest_request()
    path, _, query = request.target.partition("?")
    return lambda: signing.verify_rest(APP, "POST", path, raw_query=query, body=request.body, now=NOW)


def subscribe() -> Callable[[], object]:
    """A session takes a subscribe, and forgets it again so that the next is one too."""
    session = Session(APP, SOCKET_ID)

    def step() -> None:
        session.receive(SUBSCRIBE, NOW)
        session.left("bench")

    return step


def client_event() -> Callable[[], object]:
    """A session takes a client event."""
    session = Session(APP, SOCKET_ID)
    data = {"channel": CHANNEL, "auth": signing.sign_channel(APP, SOCKET_ID, CHANNEL)}
    session.receive(messages.json_bytes({"event": "pusher:subscribe", "data": data}), NOW)
    session.joined(CHANNEL)
    return lambda: session.receive(CLIENT_EVENT, time.monotonic())


def suite() -> dict[str, Callable[[], object]]:
    """Every benchmark, ready to be called."""
    text = messages.event("tick", "bench", DATA)
    return {
        "encode an event": lambda: messages.event("tick", "bench", DATA),
        "frame it": lambda: WEBSOCKET.frame(text),
        "read a client's frame": read_frame(),
        "sign a channel": lambda: signing.sign_channel(APP, SOCKET_ID, CHANNEL),
        "verify a channel's signature": verify_channel(),
        "sign a REST request": lambda: signing.sign_rest(APP, "POST", "/apps/1/events", query=[], body=text, now=NOW),
        "verify a REST request's signature": verify_rest(),
        "parse a REST trigger": parse_rest(),
        "session step: subscribe": subscribe(),
        "session step: client event": client_event(),
    }


def values(file: str) -> dict[str, list[float]]:
    """Seconds of each benchmark, from what ``-o FILE`` has kept."""
    found: Any = pyperf.BenchmarkSuite.load(file)
    return {one.get_name(): list(one.get_values()) for one in found.get_benchmarks()}


def main() -> None:
    """Hand over to pyperf."""
    runner = pyperf.Runner()
    for name, function in suite().items():
        runner.bench_func(name, function)


if __name__ == "__main__":
    main()
