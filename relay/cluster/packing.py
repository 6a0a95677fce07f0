"""Envelopes as bytes between nodes: versioned msgpack, data only. Whatever is not exactly that is refused."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from relay.cluster.broker import Envelope, Kind

VERSION: Final = 1
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of the largest packet that is looked at."""


class Unreadable(ValueError):
    """These bytes are no envelope of this version; the message says why, and quotes nothing of them."""


class Packet(msgspec.Struct, frozen=True):
    """An envelope and which node sent it."""

    sender: str
    envelope: Envelope


class _Version(msgspec.Struct, array_like=True, frozen=True):
    version: int


class _Packed(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The fields in their order on the wire: a change of any of them is another version."""

    version: int
    sender: str
    kind: Kind
    app: str
    channel: str
    text: bytes
    socket_id: str | None
    user_id: str | None
    info: bytes | None
    step: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode
_decode_version = msgspec.msgpack.Decoder(_Version).decode
_decode_info = msgspec.json.Decoder(dict).decode


def pack(sender: str, envelope: Envelope) -> bytes:
    """``envelope`` of the node ``sender``, ready to be sent."""
    info = None if envelope.info is None else bytes(envelope.info)
    return _encode(
        _Packed(
            VERSION,
            sender,
            envelope.kind,
            envelope.app,
            envelope.channel,
            envelope.text,
            envelope.socket_id,
            envelope.user_id,
            info,
            envelope.step,
        )
    )


def unpack(data: bytes) -> Packet:
    """What ``pack`` made ``data`` of. Raises :class:`Unreadable` for anything else, whoever sent it."""
    if len(data) > LARGEST:
        raise Unreadable(f"{len(data)} bytes are too many, allowed are {LARGEST}")
    try:
        packed = _decode(data)
        if packed.version != VERSION:
            raise Unreadable(_other_version(packed.version))
        packed.text.decode()  # clients close a socket on which other than UTF-8 comes
        info = None if packed.info is None else _checked(packed.info)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Unreadable(_why(data, error)) from None
    envelope = Envelope(
        app=packed.app,
        channel=packed.channel,
        text=packed.text,
        socket_id=packed.socket_id,
        kind=packed.kind,
        user_id=packed.user_id,
        info=info,
        step=packed.step,
    )
    return Packet(packed.sender, envelope)


def _checked(info: bytes) -> msgspec.Raw:
    """A member's info, which stands in frames as it is: it must be one JSON object and nothing behind it."""
    _decode_info(info)
    info.decode()
    return msgspec.Raw(info)


def _why(data: bytes, error: Exception) -> str:
    try:
        version = _decode_version(data).version
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "no envelope"
    if version != VERSION:
        return _other_version(version)
    return f"a broken envelope: {type(error).__name__}"


def _other_version(version: int) -> str:
    return f"an envelope of version {version}, known is {VERSION}"
