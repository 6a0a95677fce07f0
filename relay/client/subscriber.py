"""The client's side of the protocol, without I/O: what each frame of a server means.

::

    happening = subscriber.receive(text)  # one value for one frame
    text = subscriber.subscribe(name, auth)  # what to send

Any Pusher-compatible server may be on the other side, so this is forgiving: ``data`` may be a string of JSON or
plain, or JSON as it is (protocol 11, 12).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from relay.client.blame import NOBODY, Blame, about_channel, blame, only
from relay.client.members import Members
from relay.client.user import WatchlistEvents, read_watchlist_events
from relay.errors import Refused
from relay.protocol import messages, names
from relay.protocol.messages import Member
from relay.protocol.received import ReceivedEvent, read_event


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
    guessed: bool = False
    """Nothing named the channel, it was the only one: an acknowledgement that comes all the same is right."""


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
    Opened
    | Pinged
    | Subscribed
    | RefusedByServer
    | SignedIn
    | WatchlistEvents
    | MemberJoined
    | MemberGone
    | ReceivedEvent
    | Ignored
)


class Subscriber:
    """What one client knows: its socket id, which subscribes are pending, who is in its presence channels."""

    def __init__(self) -> None:
        self.socket_id: str | None = None
        self.user_id: str | None = None
        self.members: dict[str, Members] = {}
        self._pending: dict[str, str | None] = {}
        self._asked: Counter[str] = Counter()
        """How many subscribes of each channel were not answered yet, those that were given up included."""
        self._joined: set[str] = set()
        self._signing_in = False

    def receive(self, text: bytes | str) -> tuple[Happening, ReceivedEvent]:
        """What a frame means, and the frame itself as an event. Never raises."""
        raw = text.encode() if isinstance(text, str) else text
        try:
            event = read_event(raw)
        except messages.INVALID_JSON:
            return Ignored(), ReceivedEvent("", None, None, None, raw)
        return self._happening(event), event

    def subscribe(self, channel: str, auth: Mapping[str, str], user_id: str | None = None) -> bytes:
        """The frame that subscribes; ``user_id`` is who we are on a presence channel."""
        self._pending[channel] = user_id
        self._asked[channel] += 1
        return messages.json_bytes({"event": "pusher:subscribe", "data": {**auth, "channel": channel}})

    def unsubscribe(self, channel: str) -> bytes:
        """The frame that unsubscribes; there is no answer."""
        self.forget(channel)
        return messages.json_bytes({"event": "pusher:unsubscribe", "data": {"channel": channel}})

    def forget(self, channel: str) -> None:
        """Nothing is known of ``channel`` any more, but that an answer is to come if it is pending."""
        self._pending.pop(channel, None)
        if channel in self._joined:
            self._joined.remove(channel)
            del self._asked[channel]
        self.members.pop(channel, None)

    def not_sent(self, channel: str) -> None:
        """The frame that subscribes was not sent after all."""
        self._pending.pop(channel, None)
        self._answered(channel)

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
        self._asked.clear()
        self._joined.clear()
        self._signing_in = False

    def _happening(self, event: ReceivedEvent) -> Happening:
        data = event.data if isinstance(event.data, dict) else {}
        happening: Happening = event
        match event.event:
            case "pusher:connection_established":
                happening = self._opened(data)
            case "pusher:ping":
                happening = Pinged()
            case "pusher:pong":
                happening = Ignored()
            case "pusher:error" | "pusher:subscription_error" | "pusher_internal:subscription_error":
                happening = self._refused(event, data)
            case "pusher:signin_success":
                happening = self._signed_in(data)
            case "pusher_internal:watchlist_events":
                happening = read_watchlist_events(event.data)
            case "pusher_internal:subscription_succeeded" if event.channel is not None:
                happening = self._subscribed(event.channel, data)
            case "pusher_internal:member_added" | "pusher_internal:member_removed" if event.channel is not None:
                happening = self._member(event.event, event.channel, data)
            case name if name.startswith("pusher_internal:") and name != messages.SUBSCRIPTION_COUNT:
                happening = Ignored()
        return happening

    def _opened(self, data: dict[str, Any]) -> Opened:
        self.socket_id = str(data.get("socket_id", ""))
        timeout = data.get("activity_timeout")
        if not isinstance(timeout, (int, float)) or timeout <= 0:
            timeout = _ACTIVITY_TIMEOUT
        return Opened(self.socket_id, float(timeout))

    def _subscribed(self, channel: str, data: dict[str, Any]) -> Happening:
        me = self._pending.pop(channel, None)
        self._answered(channel)
        self._joined.add(channel)
        if names.kind_of(channel) is names.Kind.PRESENCE:
            before = self.members.get(channel)  # of a subscribe that was given up and asked for again
            me = me or (before.my_id if before is not None else None) or self.user_id
            self.members[channel] = Members.from_roster(data.get("presence"), me)
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
        message = str(data.get("message") or data.get("error") or event.data)
        code = data.get("code")
        code = code if isinstance(code, int) else None
        found = self._blame(event, message, code)
        if found.signin:
            self._signing_in = False
        if found.channel is None:
            return RefusedByServer(message, code, None, signin=found.signin)
        self._answered(found.channel)
        if self._asked[found.channel]:
            return RefusedByServer(message, code, None)  # it answers a subscribe that was given up
        self._pending.pop(found.channel, None)
        self._joined.discard(found.channel)
        return RefusedByServer(message, code, found.channel, guessed=found.guessed)

    def _blame(self, event: ReceivedEvent, message: str, code: int | None) -> Blame:
        asked = +self._asked
        if event.channel is not None and event.channel not in asked:
            return NOBODY
        if event.event != "pusher:error":  # its name says what it is about
            return Blame(event.channel) if event.channel is not None else only(asked)
        if event.channel is not None:
            return about_channel(message, code, event.channel)
        return blame(message, code, asked=asked, signing_in=self._signing_in)

    def _answered(self, channel: str) -> None:
        if self._asked[channel] > 1:
            self._asked[channel] -= 1
        else:
            del self._asked[channel]


def member_of(auth: Mapping[str, str]) -> Member | None:
    """Who the answer of an auth endpoint says we are on a presence channel."""
    try:
        member = messages.read_member(auth["channel_data"])
    except (KeyError, Refused):
        return None
    return Member(member.user_id, None if member.info is None else msgspec.json.decode(member.info))
