"""The client's side of the protocol, without I/O: what each frame of a server means.

::

    happening = subscriber.receive(text)  # one value for one frame
    text = subscriber.subscribe(name, auth)  # what to send

Any Pusher-compatible server may be on the other side, so this is forgiving: ``data`` may be a string of JSON or
plain, or JSON as it is (protocol 11, 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from relay.client.members import Members
from relay.errors import Refused
from relay.protocol import messages, names
from relay.protocol.messages import Member


class ReceivedEvent(msgspec.Struct, frozen=True):
    """One event as the client saw it.

    ``data`` is decoded where it was JSON in a string. ``user_id`` is the sender of a client event on a presence
    channel. ``text`` is the frame itself.
    """

    event: str
    channel: str | None
    data: Any
    user_id: str | None
    text: bytes

    def called(self, name: str, data: Any) -> ReceivedEvent:
        """The same frame under the name and with the data that pusher-js's users know it by."""
        return ReceivedEvent(name, self.channel, data, self.user_id, self.text)


class Opened(msgspec.Struct, frozen=True):
    """The connection is established; ``activity_timeout`` is how long the server may be silent, in seconds."""

    socket_id: str
    activity_timeout: float


class Pinged(msgspec.Struct, frozen=True):
    """The server wants a pong."""


class Subscribed(msgspec.Struct, frozen=True):
    """A subscribe was acknowledged."""

    channel: str


class RefusedByServer(msgspec.Struct, frozen=True):
    """The server said no: to the subscribe of ``channel``, to the ``signin``, or to something else."""

    message: str
    code: int | None
    channel: str | None
    signin: bool = False


class SignedIn(msgspec.Struct, frozen=True):
    """A sign-in was acknowledged."""

    user_id: str


class MemberJoined(msgspec.Struct, frozen=True):
    """Somebody joined a presence channel."""

    channel: str
    member: Member


class MemberGone(msgspec.Struct, frozen=True):
    """Somebody left a presence channel."""

    channel: str
    member: Member


class Ignored(msgspec.Struct, frozen=True):
    """Nothing to act on: a pong, or a frame that no client understands."""


_ACTIVITY_TIMEOUT = 120.0
"""What a server means that does not say, in seconds (protocol 1.6)."""

Happening = (
    Opened | Pinged | Subscribed | RefusedByServer | SignedIn | MemberJoined | MemberGone | ReceivedEvent | Ignored
)


class _Frame(msgspec.Struct):
    event: str
    channel: str | None = None
    data: Any = None
    user_id: str | None = None


_decode = msgspec.json.Decoder(_Frame).decode


class Subscriber:
    """What one client knows: its socket id, which subscribes are pending, who is in its presence channels."""

    def __init__(self) -> None:
        self.socket_id: str | None = None
        self.user_id: str | None = None
        self.members: dict[str, Members] = {}
        self._pending: dict[str, str | None] = {}
        self._signing_in = False

    def receive(self, text: bytes | str) -> tuple[Happening, ReceivedEvent]:
        """What a frame means, and the frame itself as an event. Never raises."""
        raw = text.encode() if isinstance(text, str) else text
        try:
            frame = _decode(raw)
        except messages.INVALID_JSON:
            return Ignored(), ReceivedEvent("", None, None, None, raw)
        event = ReceivedEvent(frame.event, frame.channel, messages.unwrapped(frame.data), frame.user_id, raw)
        return self._happening(event), event

    def subscribe(self, channel: str, auth: Mapping[str, str], user_id: str | None = None) -> bytes:
        """The frame that subscribes; ``user_id`` is who we are on a presence channel."""
        self._pending[channel] = user_id
        return messages.json_bytes({"event": "pusher:subscribe", "data": {**auth, "channel": channel}})

    def unsubscribe(self, channel: str) -> bytes:
        """The frame that unsubscribes; there is no answer."""
        self.forget(channel)
        return messages.json_bytes({"event": "pusher:unsubscribe", "data": {"channel": channel}})

    def forget(self, channel: str) -> None:
        """Nothing is known of ``channel`` any more."""
        self._pending.pop(channel, None)
        self.members.pop(channel, None)

    def client_event(self, channel: str, event: str, data: object) -> bytes:
        """The frame of a client event."""
        return messages.json_bytes({"event": event, "channel": channel, "data": data})

    def sign_in(self, auth: Mapping[str, str]) -> bytes:
        """The frame that signs in."""
        self._signing_in = True
        return messages.json_bytes({"event": "pusher:signin", "data": auth})

    def lost(self) -> None:
        """The connection is gone, and with it everything it knew."""
        self.socket_id = self.user_id = None
        self.members.clear()
        self._pending.clear()
        self._signing_in = False

    def _happening(self, event: ReceivedEvent) -> Happening:
        data = event.data if isinstance(event.data, dict) else {}
        happening: Happening = event
        match event.event:
            case "pusher:connection_established":
                self.socket_id = str(data.get("socket_id", ""))
                timeout = data.get("activity_timeout")
                if not isinstance(timeout, (int, float)) or timeout <= 0:
                    timeout = _ACTIVITY_TIMEOUT
                happening = Opened(self.socket_id, float(timeout))
            case "pusher:ping":
                happening = Pinged()
            case "pusher:pong":
                happening = Ignored()
            case "pusher:error" | "pusher:subscription_error" | "pusher_internal:subscription_error":
                happening = self._refused(event, data)
            case "pusher:signin_success":
                happening = self._signed_in(data)
            case "pusher_internal:subscription_succeeded" if event.channel is not None:
                happening = self._subscribed(event.channel, data)
            case "pusher_internal:member_added" | "pusher_internal:member_removed" if event.channel is not None:
                happening = self._member(event.event, event.channel, data)
            case name if name.startswith("pusher_internal:"):
                happening = Ignored()
        return happening

    def _subscribed(self, channel: str, data: dict[str, Any]) -> Happening:
        me = self._pending.pop(channel, None)
        if names.kind_of(channel) is names.Kind.PRESENCE:
            self.members[channel] = Members.from_roster(data.get("presence"), me or self.user_id)
        return Subscribed(channel)

    def _member(self, event: str, channel: str, data: dict[str, Any]) -> Happening:
        members = self.members.get(channel)
        user_id = str(data.get("user_id", ""))
        if members is None or not user_id:
            return Ignored()
        if event.endswith("added"):
            member = Member(user_id, data.get("user_info"))
            return MemberJoined(channel, member) if members.add(member) else Ignored()
        gone = members.remove(user_id)
        return MemberGone(channel, gone) if gone is not None else Ignored()

    def _signed_in(self, data: dict[str, Any]) -> Happening:
        self._signing_in = False
        user = messages.unwrapped(data.get("user_data"))
        self.user_id = str(user.get("id", "")) if isinstance(user, dict) else ""
        return SignedIn(self.user_id)

    def _refused(self, event: ReceivedEvent, data: dict[str, Any]) -> Happening:
        """Hosted errors name no channel: it is the pending subscribe the text speaks of, else the oldest."""
        message = str(data.get("message") or data.get("error") or event.data)
        code = data.get("code")
        code = code if isinstance(code, int) else None
        if event.channel is not None:
            channel = event.channel if event.channel in self._pending else None
        elif self._signing_in:
            self._signing_in = False
            return RefusedByServer(message, code, None, signin=True)
        elif code is not None and code >= 4300:
            channel = None  # about client events and watchlists, never about a subscribe
        else:
            named = [name for name in self._pending if name in message]
            channel = max(named, key=len, default=next(iter(self._pending), None))
        if channel is not None:
            del self._pending[channel]
        return RefusedByServer(message, code, channel)


def user_id_of(auth: Mapping[str, str]) -> str | None:
    """Who the answer of an auth endpoint says we are on a presence channel."""
    try:
        return messages.read_member(auth["channel_data"]).user_id
    except (KeyError, Refused):
        return None
