"""A client as the owner of a socket drives it: frames in, frames out, and what they say."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from relay import App, Connection, Hub, Member, User
from relay.connection import Authorize
from relay_transports.inprocess import InProcessTransport

APP = App(id="1001", key="app-key", secret="app-secret", client_events=True)
ACK = "pusher_internal:subscription_succeeded"
ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"
ERROR = "pusher:error"


@dataclass(frozen=True)
class Frame:
    """One frame of the hub; `data` is decoded where it was JSON in a string."""

    event: str
    channel: str | None
    data: Any
    user_id: str | None
    text: bytes


def read(text: bytes) -> Frame:
    frame = json.loads(text)
    data = frame["data"]
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            pass
    return Frame(frame["event"], frame.get("channel"), data, frame.get("user_id"), text)


def say(event: str, data: object = None, channel: str | None = None) -> str:
    """The text of a client's frame; None is left out."""
    given = {"event": event, "channel": channel, "data": data}
    return json.dumps({key: value for key, value in given.items() if value is not None})


def count_members(frames: Iterable[Frame]) -> tuple[set[str], list[bytes]]:
    """The users that a reader counts from the roster in its acknowledgement; and the frames that were no news to it."""
    roster: set[str] = set()
    stale = []
    for frame in frames:
        if frame.event == ACK:
            roster = set(frame.data["presence"]["ids"])
        elif frame.event in (ADDED, REMOVED):
            user = frame.data["user_id"]
            if (user in roster) == (frame.event == ADDED):
                stale.append(frame.text)
            (roster.add if frame.event == ADDED else roster.discard)(user)
    return roster, stale


class Socket:
    """One connection; made by `await arrive(hub)`, its greeting read already."""

    def __init__(self, hub: Hub, app: App, connection: Connection, transport: InProcessTransport) -> None:
        self.hub, self.app, self.connection, self.transport = hub, app, connection, transport

    @property
    def id(self) -> str:
        return self.connection.socket_id

    @property
    def open(self) -> bool:
        return self.transport.closed is None

    @property
    def close_code(self) -> int | None:
        return None if self.transport.closed is None else self.transport.closed.code

    def frames(self) -> list[Frame]:
        """What came since the last look."""
        frames = []
        while (text := self.transport.take()) is not None:
            frames.append(read(text))
        return frames

    def events(self) -> list[str]:
        """The names of what came since the last look."""
        return [frame.event for frame in self.frames()]

    async def say(self, event: str, data: object = None, channel: str | None = None) -> None:
        await self.connection.receive(say(event, data, channel))

    async def subscribe(self, channel: str, user: str | None = None, info: object = None) -> None:
        """Subscribe, authorized by the hub itself where that is needed; `user` is for presence channels."""
        data = {"channel": channel}
        if channel.startswith(("private-", "presence-")):
            member = None if user is None else Member(user, info)
            data |= self.hub.authorize_channel(self.id, channel, member, app=self.app)
        await self.say("pusher:subscribe", data)

    async def unsubscribe(self, channel: str) -> None:
        await self.say("pusher:unsubscribe", {"channel": channel})

    async def sign_in(self, user: str, watchlist: Sequence[str] = ()) -> None:
        signed = self.hub.authenticate_user(self.id, User(user, watchlist=watchlist), app=self.app)
        await self.say("pusher:signin", signed)

    def disconnect(self) -> None:
        """Go away, as when a browser tab closes."""
        self.transport.close(1000)
        self.connection.disconnected()


async def arrive(hub: Hub, app: App | None = None, *, authorize: Authorize | None = None) -> Socket:
    app = app or hub.apps[0]
    transport = InProcessTransport()
    connection = await hub.connect(app.key, transport, authorize=authorize)
    socket = Socket(hub, app, connection, transport)
    assert socket.events() == ["pusher:connection_established"]
    return socket
