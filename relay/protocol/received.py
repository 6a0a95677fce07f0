"""An event as whoever subscribes sees it."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from relay.protocol import messages

T = TypeVar("T")


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

    def decode(self, kind: type[T]) -> T:
        """``data`` as a ``kind``: a msgspec Struct, a dataclass, a plain type.

        Raises :class:`msgspec.ValidationError` for data of another shape.
        """
        return msgspec.convert(self.data, kind)


class _Frame(msgspec.Struct):
    event: str
    channel: str | None = None
    data: Any = None
    user_id: str | None = None


_decode = msgspec.json.Decoder(_Frame).decode


def read_event(text: bytes) -> ReceivedEvent:
    """The event in a frame of a server; ``data`` may be a string of JSON or plain, or JSON as it is (protocol 11).

    Raises one of :data:`relay.protocol.messages.INVALID_JSON` for what is none.
    """
    frame = _decode(text)
    return ReceivedEvent(frame.event, frame.channel, messages.unwrapped(frame.data), frame.user_id, text)
