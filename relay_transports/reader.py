"""RFC 6455 from the server's side: bytes of a client in, whole messages out. Pure; one reader for each connection.

::

    for opcode, payload in reader.feed(data):
        ...
    if reader.violation is not None:
        ...  # close with its code and reason; feed returns nothing any more

Messages are whole (fragments joined, text checked to be UTF-8); control frames come in between as they are. What a
client gets wrong is told once, as a :class:`Violation`.
"""

from __future__ import annotations

from typing import Final

import msgspec

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_CONTINUATION: Final = 0
_MAX_CONTROL: Final = 125
_MAX_FRAGMENTS: Final = 4096
_LEGAL_CODES: Final = frozenset([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014])


class Violation(msgspec.Struct, frozen=True):
    """What the client got wrong: the close ``code`` for it and why."""

    code: int
    reason: str


class _Wrong(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.violation = Violation(code, reason)


class FrameReader:
    """Reads one client's frames; a message may have up to ``limit`` bytes."""

    __slots__ = ("_buffer", "_fragments", "_limit", "_opcode", "_size", "violation")

    def __init__(self, limit: int) -> None:
        self.violation: Violation | None = None
        self._limit = limit
        self._buffer = b""
        self._opcode = 0
        self._size = 0
        self._fragments: list[bytes] | None = None

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The messages that ``data`` completes, in order: opcode and payload."""
        messages: list[tuple[int, bytes]] = []
        if self.violation is not None:
            return messages
        buffer = self._buffer + data if self._buffer else data
        position = 0
        try:
            while (frame := self._frame(buffer, position)) is not None:
                first, payload, position = frame
                message = self._message(first, payload)
                if message is not None:
                    messages.append(message)
        except _Wrong as wrong:
            self.violation = wrong.violation
            self._buffer, self._fragments = b"", None
            return messages
        self._buffer = buffer[position:]
        return messages

    def _frame(self, buffer: bytes, at: int) -> tuple[int, bytes, int] | None:
        """First byte, unmasked payload and end of the frame at ``at``; None while it is not complete."""
        have = len(buffer) - at
        if have < 2:
            return None
        first, second = buffer[at], buffer[at + 1]
        self._check_head(first, second)
        size, start = second & 0x7F, at + 2
        if size == 126:
            size, start = int.from_bytes(buffer[start : start + 2], "big"), start + 2
        elif size == 127:
            size, start = int.from_bytes(buffer[start : start + 8], "big"), start + 8
        if len(buffer) < start:
            return None
        if size + self._size > self._limit and first & 0x0F < CLOSE:
            raise _Wrong(1009, f"message too big: the limit is {self._limit} bytes")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        return first, unmask(buffer[start + 4 : end], buffer[start : start + 4]), end

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise _Wrong(1002, "reserved bits must be 0")
        if not second & 0x80:
            raise _Wrong(1002, "frames of a client must be masked")
        if opcode in (CLOSE, PING, PONG):
            if not first & 0x80 or second & 0x7F > _MAX_CONTROL:
                raise _Wrong(1002, "control frames have one part of up to 125 bytes")
        elif opcode not in (_CONTINUATION, TEXT, BINARY):
            raise _Wrong(1002, "unknown opcode")

    def _message(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        opcode, final = first & 0x0F, first & 0x80
        if opcode >= CLOSE:
            return opcode, (_checked_close(payload) if opcode == CLOSE else payload)
        if opcode != _CONTINUATION:
            if self._fragments is not None:
                raise _Wrong(1002, "a message began before the last one ended")
            if final:
                return opcode, (_checked_text(payload) if opcode == TEXT else payload)
            self._opcode, self._size, self._fragments = opcode, len(payload), [payload]
            return None
        if self._fragments is None:
            raise _Wrong(1002, "a fragment continues nothing")
        self._fragments.append(payload)
        self._size += len(payload)
        if len(self._fragments) > _MAX_FRAGMENTS:
            raise _Wrong(1009, f"message too big: it may have {_MAX_FRAGMENTS} fragments")
        if not final:
            return None
        whole, self._fragments, self._size = b"".join(self._fragments), None, 0
        return self._opcode, (_checked_text(whole) if self._opcode == TEXT else whole)


def unmask(payload: bytes, mask: bytes) -> bytes:
    """``payload`` without the client's mask: one XOR of two large integers, the fastest way without C."""
    size = len(payload)
    if not size:
        return payload
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def close_code(payload: bytes) -> int:
    """The code in a close frame, 1005 where there is none."""
    return int.from_bytes(payload[:2], "big") if payload else 1005


def may_close_with(code: int) -> bool:
    """Whether a close frame may carry ``code`` (RFC 6455, 7.4)."""
    return code in _LEGAL_CODES or 3000 <= code <= 4999


def _checked_text(payload: bytes) -> bytes:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise _Wrong(1007, "text must be UTF-8") from None
    return payload


def _checked_close(payload: bytes) -> bytes:
    if not payload:
        return payload
    if len(payload) < 2 or not may_close_with(close_code(payload)):
        raise _Wrong(1002, "illegal close code")
    _checked_text(payload[2:])
    return payload
