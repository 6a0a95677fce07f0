"""Write what the hub sends now into the transcripts: `python -m tests.golden.rewrite [FILE...]`, then read the diff.

Nothing but lines that begin with `S` or `server<` changes. In new scripts `<auth>` stands for the proof of a subscribe
or sign-in, and `<signed>` for the parameters that make a REST call genuine; they are filled in once, and stay.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio

from relay.protocol import signing
from tests.golden.script import APP, FILES, Scene, preface, read
from tests.golden.stages import in_process, over_sockets

NOW = 1_760_000_000


def signed(line: str, body: str) -> str:
    """A REST call with its parameters."""
    method, target = line.removeprefix("server> ").split(" ", 1)
    path, _, query = target.partition("?")
    given = signing.parse_query("&".join(part for part in query.split("&") if part != "<signed>"))
    pairs = signing.sign_rest(APP, method, path, query=given, body=body.encode(), now=NOW)
    return f"server> {method} {path}?{'&'.join(map('='.join, pairs))}"


def proven(line: str, socket_ids: dict[str, str]) -> str:
    """A subscribe or a sign-in with its proof."""
    who, _, frame = line.partition("> ")
    data = json.loads(frame)["data"]
    if "user_data" in data:
        auth = signing.sign_user(APP, socket_ids[who], data["user_data"])
    else:
        auth = signing.sign_channel(APP, socket_ids[who], data["channel"], data.get("channel_data"))
    return line.replace("<auth>", auth)


def called(scene: Scene) -> Scene:
    """``scene`` with genuine REST calls."""
    lines = []
    for line, following in zip(scene.lines, [*scene.lines[1:], ""], strict=True):
        body = following.removeprefix("server> ") if following.startswith("server> ") else ""
        body = "" if body.startswith(("GET ", "POST ")) else body
        lines.append(signed(line, body) if "<signed>" in line else line)
    return Scene(scene.title, lines)


def filled(scene: Scene, played: list[str]) -> Scene:
    """``scene`` with proofs; who has which socket id is seen in what was ``played``."""
    socket_ids = {}
    for line in played:
        who, _, frame = line.partition("> ")
        if "pusher:connection_established" in frame:
            socket_ids[who.replace("S", "C")] = json.loads(json.loads(frame)["data"])["socket_id"]
    return Scene(scene.title, [proven(line, socket_ids) if "<auth>" in line else line for line in scene.lines])


async def rewritten(scene: Scene) -> list[str]:
    """The lines as they are now."""
    play = over_sockets if scene.sockets_only else in_process
    scene = called(scene)
    return await play(filled(scene, await play(scene)))


async def main(paths: list[Path]) -> None:
    """Rewrite each file that changed."""
    for path in paths:
        scenes = [line for scene in read(path) for line in (scene.title, *await rewritten(scene))]
        path.write_text(preface(path) + "\n".join(scenes) + "\n")


if __name__ == "__main__":
    anyio.run(main, [Path(name) for name in sys.argv[1:]] or FILES)
