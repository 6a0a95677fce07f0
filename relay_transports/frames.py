"""RFC 6455 frames as a server writes them, as ready bytes. Server frames are never masked."""

from __future__ import annotations

TEXT = 0x81
CLOSE = 0x88
PING = 0x89
PONG = 0x8A
MAX_REASON = 123


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame; ``opcode`` is the first byte, final bit included."""
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65536:
        return bytes((opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + size.to_bytes(8, "big") + payload


def close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to the 123 bytes RFC 6455 allows, at a character's edge."""
    cut = reason.encode()[:MAX_REASON].decode("utf-8", "ignore").encode()
    return frame(CLOSE, code.to_bytes(2, "big") + cut)


class WebSocketFraming:
    """Events as WebSocket text frames: the same bytes for every subscriber."""

    ping = frame(PING, b"")
    shares = True

    def frame(self, text: bytes) -> bytes:
        """One text frame."""
        size = len(text)
        if 126 <= size < 65536:  # nearly every event
            return b"\x81\x7e" + size.to_bytes(2, "big") + text
        return frame(TEXT, text)

    def text(self, frame: bytes) -> bytes | None:
        """The payload of a text frame, None for a control frame."""
        if frame[:1] != b"\x81":
            return None
        return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


WEBSOCKET = WebSocketFraming()
