"""Golden transcripts: the exact frames of each feature, in both directions, compared byte for byte.

One file a feature. A file has scenes, each with a hub of its own for App 1001 of the protocol reference, on a clock
that stands still at 1,760,000,000, with socket ids that are always the same::

    == A title                          a scene begins
    app> client_events=true             settings of the App; all others are as they are by default
    hub> max_connections=1              settings of the hub
    only> websocket                     only sockets have what is shown
    C1> GET /app/KEY?protocol=7         a client connects; with " Origin: ..." behind it from a page
    C1> {"event":...}                   a client sends this text frame; "binary 00ff" a binary one, "close" leaves
    S1> {"event":...}                   the hub sends this text frame to that client
    S1> close 4009 Connection not ...   the hub closes it
    server> POST /apps/1001/events?...  a REST call: target, and body on the next line if it has one
    server< 200 application/json        its answer: status and type, and then the body, with ⏎ for a line feed,
                                        ␍ for a carriage return
    browser> POST /pusher/app/...       a request of the HTTP fallbacks, and "browser< " its answer in the same way;
                                        what a preflight allows stands for its body
    stream> POST /pusher/app/...        one that stays open, instead of the one before; "stream< " lines come over it
    clock> 120                          so many seconds pass
    hub> trigger CHANNEL EVENT DATA     the embedding program publishes
    hub> close                          the hub ends

Lines with `#` and empty ones are for readers. With one client the number is left out. All that a step sends is between
it and the next step, client by client; nothing else may be sent. Where a socket is pinged with a control frame,
transports without those get the `pusher:ping` that stands here.

A change of these files changes what clients see. `python -m tests.golden.rewrite` writes down what the hub sends now;
the tests only compare.
"""

from __future__ import annotations

import json
import logging
import re

import pytest

from tests.golden.script import FILES, Scene, everything
from tests.golden.stages import in_process, over_sockets

pytestmark = pytest.mark.anyio

SCENES = [pytest.param(scene, id=name) for name, scene in everything()]
WITHOUT_SOCKETS = [pytest.param(scene, id=name) for name, scene in everything() if not scene.sockets_only]

FRAMES = {
    "pusher:connection_established": ({"event", "data"}, {"socket_id", "activity_timeout"}),
    "pusher:error": ({"event", "data"}, {"code", "message"}),
    "pusher:ping": ({"event", "data"}, set()),
    "pusher:pong": ({"event", "data"}, set()),
    "pusher:cache_miss": ({"event", "channel", "data"}, set()),
    "pusher:signin_success": ({"event", "data"}, {"user_data"}),
    "pusher_internal:subscription_succeeded": ({"event", "channel", "data"}, set()),
    "pusher_internal:member_added": ({"event", "channel", "data"}, {"user_id"}),
    "pusher_internal:member_removed": ({"event", "channel", "data"}, {"user_id"}),
}
"""What the protocol has, by event: the keys of the frame and those of its data."""

SWITCHED = {
    "pusher:subscription_error": "subscription_errors",
    "pusher_internal:watchlist_events": "watchlists",
    "pusher_internal:subscription_count": "subscription_counts",
}
"""What an App has to ask for, by switch."""

MAY_HAVE = {
    "pusher_internal:subscription_succeeded": {"presence"},
    "pusher_internal:member_added": {"user_info"},
}


@pytest.mark.every_loop
@pytest.mark.parametrize("scene", WITHOUT_SOCKETS)
async def test_hub_keeps_to_the_script(scene: Scene):
    assert await in_process(scene) == scene.lines


@pytest.mark.parametrize("scene", SCENES)
async def test_server_keeps_to_the_script(scene: Scene, caplog: pytest.LogCaptureFixture):
    assert await over_sockets(scene) == scene.lines
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def of_protocol(text: bytes) -> str:
    """The name of an event in which there is nothing but what the protocol says."""
    frame = json.loads(text)
    name: str = frame["event"]
    if not name.startswith("pusher"):
        keys = set(frame) - ({"user_id"} if name.startswith("client-") else set())
        assert keys == {"event", "channel", "data"}, text
        assert isinstance(frame["data"], str), text
        return "an event"
    keys, inner = FRAMES[name]
    data = frame["data"] if name == "pusher:error" else json.loads(frame["data"])
    assert set(frame) == keys, text
    assert inner <= set(data) <= inner | MAY_HAVE.get(name, set()), text
    if "presence" in data:
        assert set(data["presence"]) == {"count", "ids", "hash"}, text
    return name


def test_no_extension_leaks_into_what_an_app_gets_by_default():
    seen = {of_protocol(text) for _, scene in everything() if scene.default for text in scene.events}
    assert seen == {*FRAMES, "an event"}


def test_what_an_app_asks_for_comes_to_no_other():
    for name, scene in everything():
        sent = {json.loads(text)["event"] for text in scene.events}
        for event, switch in SWITCHED.items():
            asked = any(line.startswith("app> ") and f"{switch}=true" in line for line in scene.lines)
            assert asked or event not in sent, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_script_says_what_it_is_about_and_is_filled_in(path):
    text = path.read_text()
    assert re.match(r"# .*[.:].*\n\n== ", text)
    assert "<auth>" not in text
    assert "<signed>" not in text
