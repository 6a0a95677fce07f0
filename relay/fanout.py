"""One event to many transports: encode once, frame once, write once."""

from __future__ import annotations

from collections.abc import Iterable

from relay.transport import Framing, Transport


def broadcast(transports: Iterable[Transport], text: bytes, excluded: Transport | None = None) -> None:
    """Queue ``text`` on every transport but ``excluded``, framing it once for each kind of transport.

    Server WebSocket frames are not masked, so one kind's frame is the same bytes for everyone. Nothing in
    the loop may wait, log, raise or change ``transports``: overflow is told later (see Transport.bound).
    """
    framing: Framing | None = None
    frame = b""
    for transport in transports:
        if transport is excluded:
            continue
        if transport.framing is not framing:
            framing = transport.framing
            frame = framing.frame(text)
        transport.send(frame)
