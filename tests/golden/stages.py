"""Where transcripts are played: in this process, and over real sockets. Both give lines to be compared."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from relay import Disconnect, Hub
from relay.api import respond
from relay.connection import Connection
from relay.protocol import messages
from relay.protocol.rest import Request
from relay.testing import ManualClock
from relay_transports.inprocess import InProcessTransport
from relay_transports.inprocess.raw import fits
from tests.golden.script import Scene, steps
from tests.integration import wire
from tests.integration.over_http import Stream
from tests.integration.serving import Served, serving
from tests.integration.wire import BINARY, CLOSE, PING, PONG, Frame, Wire, frame, http

NEWLINE, RETURN = "⏎", "␍"
_PRELUDE = "h" * 2048


class Stage(Protocol):
    """What a script can do, and what came of it; clients go by their number in the script."""

    hub: Hub

    async def connect(self, name: str, target: str, origin: str | None) -> None: ...
    async def send(self, name: str, text: str) -> None: ...
    async def send_binary(self, name: str, data: bytes) -> None: ...
    async def stream(self, target: str) -> None: ...
    async def leave(self, name: str) -> None: ...
    async def request(self, method: str, target: str, body: bytes) -> tuple[int, str, bytes]: ...
    async def take(self, name: str, count: int) -> list[str]: ...
    async def end(self) -> None: ...


class InProcess:
    """The hub's own transports, stepped: works on every loop."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._transports: dict[str, InProcessTransport] = {}
        self._connections: dict[str, Connection] = {}
        self._told: set[str] = set()
        hub.step()

    async def connect(self, name: str, target: str, origin: str | None) -> None:
        """Ask for the path that a socket would ask for."""
        parts = urlsplit(target)
        transport = self._transports[name] = InProcessTransport()
        protocol = parse_qs(parts.query).get("protocol", [None])[0]
        try:
            key = parts.path.removeprefix("/app/")
            connection = await self.hub.connect(key, transport, protocol=protocol, secure=False, origin=origin)
            self._connections[name] = connection
        except Disconnect:
            pass

    async def send(self, name: str, text: str) -> None:
        connection = self._connections[name]
        if fits(connection, text):
            await connection.receive(text)

    async def send_binary(self, name: str, data: bytes) -> None:
        raise NotImplementedError("there are no binary frames here")

    async def stream(self, target: str) -> None:
        raise NotImplementedError("there is no HTTP here")

    async def leave(self, name: str) -> None:
        self._told.add(name)
        self._transports[name].close(1000)
        self._connections[name].disconnected()

    async def request(self, method: str, target: str, body: bytes) -> tuple[int, str, bytes]:
        answer = await respond(self.hub, Request(method, target, body))
        return answer.status, answer.content_type, answer.body

    async def take(self, name: str, count: int) -> list[str]:
        """All there is, however much is expected."""
        transport = self._transports[name]
        lines = []
        while (text := transport.take()) is not None:
            lines.append(text.decode())
        if transport.closed is not None and name not in self._told:
            self._told.add(name)
            lines.append(f"close {transport.closed.code} {transport.closed.reason}".rstrip())
        return lines

    async def end(self) -> None:
        self.hub.close()


class Sockets:
    """A server on a free port. Who sent something is asked until everything is answered; others when the scene ends."""

    def __init__(self, hub: Hub, served: Served, stack: AsyncExitStack) -> None:
        self.hub = hub
        self._served = served
        self._stack = stack
        self._wires: dict[str, Wire] = {}
        self._gone: set[str] = set()
        self._fenced: dict[str, list[str]] = {}
        self._stream: Stream | None = None

    async def connect(self, name: str, target: str, origin: str | None) -> None:
        headers = f"Origin: {origin}\r\n" if origin else ""
        self._wires[name] = await self._stack.enter_async_context(self._served.websocket(target, headers))

    async def send(self, name: str, text: str) -> None:
        self._wires[name].send(text)
        await self._fence(name)

    async def send_binary(self, name: str, data: bytes) -> None:
        self._wires[name].write(frame(BINARY, data))
        await self._fence(name)

    async def stream(self, target: str) -> None:
        """Leave the stream there was, if any, and read another one."""
        if self._stream is not None:
            await self._stream.wire.close()
        dialled = await self._stack.enter_async_context(self._served.dial())
        dialled.write(f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode())
        head = (await dialled.reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 200 "), head
        self._stream = Stream(dialled)

    async def leave(self, name: str) -> None:
        self._gone.add(name)
        self._wires[name].write(frame(CLOSE, (1000).to_bytes(2, "big")))
        assert (await self._wires[name].receive()).opcode == CLOSE

    async def request(self, method: str, target: str, body: bytes) -> tuple[int, str, bytes]:
        answer = await http(self._served.port, method, target, body)
        if method == "OPTIONS":
            allowed = {name: what for name, what in answer.headers.items() if name.startswith("access-control-")}
            return answer.status, "", "".join(f"{name}: {what}\n" for name, what in allowed.items()).encode()
        chunked = answer.headers.get("transfer-encoding") == "chunked"
        return answer.status, answer.headers.get("content-type", ""), joined(answer.body) if chunked else answer.body

    async def take(self, name: str, count: int) -> list[str]:
        """What came before the answer to a ping, or the next ``count`` frames."""
        if name == "stream":
            assert self._stream is not None
            return [(await self._stream.line()).replace(_PRELUDE, "(h, 2048 times)") for _ in range(count)]
        lines = self._fenced.pop(name, [])
        while len(lines) < count and name not in self._gone:
            lines.append(self._line(name, await self._wires[name].receive()))
        return lines

    async def end(self) -> None:
        """Nothing more came to anybody: what is next is an answer to us, or the end of the hub on a stream."""
        for name in self._wires:
            if name not in self._gone:
                await self._fence(name)
                assert self._fenced.pop(name) == []
        if self._stream is not None:
            self.hub.close()
            assert (await self._stream.line()).startswith("c[4200,")

    async def _fence(self, name: str) -> None:
        """What comes before a ping's pong is all there is. The ping is a sign of life just after another one."""
        self._wires[name].write(frame(PING, b"fence"))
        lines = self._fenced.setdefault(name, [])
        while name not in self._gone:
            got = await self._wires[name].receive()
            if got == Frame(PONG, b"fence"):
                break
            lines.append(self._line(name, got))

    def _line(self, name: str, got: Frame) -> str:
        match got:
            case (wire.TEXT, payload):
                return payload.decode()
            case (wire.PING, b""):
                return messages.PING.decode()
            case (wire.CLOSE, payload):
                self._gone.add(name)
                return f"close {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}".rstrip()
        raise AssertionError(f"a frame that no script knows: {got}")


def joined(chunks: bytes) -> bytes:
    """The chunks of a body that is there as a whole."""
    size, _, rest = chunks.partition(b"\r\n")
    count = int(size, 16)
    return rest[:count] + joined(rest[count + 2 :]) if count else b""


async def play(scene: Scene, stage: Stage) -> list[str]:
    """The lines of ``scene``, with what the hub really sends."""
    played: list[str] = []
    clients: dict[str, None] = {}
    for step in steps(scene):
        who, _, what = step.action[0].partition("> ")
        played += step.action
        if who.startswith("C"):
            clients[who] = None
            await _client(stage, who, what)
        elif who == "stream":
            clients[who] = None
            await stage.stream(what.removeprefix("POST "))
        elif who in ("server", "browser"):
            played += await _http(stage, who, step.action)
        elif who == "hub" and what.startswith("trigger "):
            _, channel, event, data = what.split(" ", 3)
            await stage.hub.trigger(channel, event, data)
        elif who == "hub" and what == "close":
            stage.hub.close()
        elif who == "clock":
            assert isinstance(stage.hub.clock, ManualClock)
            await stage.hub.clock.advance(float(what))
        else:
            assert who in ("app", "hub", "only", "") or who.startswith("#"), f"a line that means nothing: {step.action}"
            continue
        await stage.hub.settle()
        for client in clients:
            said = "stream< " if client == "stream" else client.replace("C", "S") + "> "
            played += [said + line for line in await stage.take(client, step.count(said))]
    return played


async def _client(stage: Stage, who: str, what: str) -> None:
    verb, _, more = what.partition(" ")
    if verb == "GET":
        target, _, origin = more.partition(" Origin: ")
        await stage.connect(who, target, origin or None)
    elif verb == "close":
        await stage.leave(who)
    elif verb == "binary":
        await stage.send_binary(who, bytes.fromhex(more))
    else:
        await stage.send(who, what)


async def _http(stage: Stage, who: str, action: list[str]) -> list[str]:
    """One request; returns status and type, and the body if there is one."""
    method, target = action[0].removeprefix(f"{who}> ").split(" ", 1)
    body = "\n".join(line.removeprefix(f"{who}> ") for line in action[1:])
    status, content_type, answer = await stage.request(method, target, body.encode())
    lines = [f"{status} {content_type}".rstrip(), answer.decode().replace("\r", RETURN).replace("\n", NEWLINE)]
    return [f"{who}< {line}" for line in lines if line]


async def in_process(scene: Scene) -> list[str]:
    """Play ``scene`` on transports of this process."""
    stage = InProcess(scene.hub())
    try:
        return await play(scene, stage)
    finally:
        await stage.end()


async def over_sockets(scene: Scene) -> list[str]:
    """Play ``scene`` over WebSocket and HTTP."""
    hub = scene.hub()
    async with serving(hub) as served, AsyncExitStack() as stack:
        stage = Sockets(hub, served, stack)
        played = await play(scene, stage)
        await stage.end()
        return played
