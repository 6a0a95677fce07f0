"""End-to-end encrypted channels: their secrets, and events that only holders of the secret can read (protocol 8.3).

The hub relays what others have encrypted as it is. This is for those who publish and those who read::

    secret = shared_secret(master_key(app), channel)  # what an auth endpoint tells, each channel its own
    data = encrypt(secret, text, nonce)  # the ``data`` of an event
    text = decrypt(secret, read_box(data))

The cipher is NaCl's secretbox, which PyNaCl provides; signing and telling secrets works without it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import msgspec

from relay.errors import RelayError, UsageError
from relay.protocol import messages

try:
    from nacl.bindings import crypto_secretbox, crypto_secretbox_open
    from nacl.exceptions import CryptoError
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "nacl":
        raise
    _missing = True
else:
    _missing = False

if TYPE_CHECKING:
    from relay.app import App

NONCE_BYTES = 24
SECRET_BYTES = 32
_TAG_BYTES = 16


class CannotDecrypt(RelayError):
    """An event of an encrypted channel cannot be read; the message says why, and nothing of its content.

    ``newer_secret`` tells that another secret might open it, one that was changed meanwhile for instance. False: what
    came is no encrypted event at all.
    """

    def __init__(self, message: str, *, newer_secret: bool = False) -> None:
        super().__init__(message)
        self.newer_secret = newer_secret


class Box(msgspec.Struct, frozen=True):
    """One encrypted text, its nonce and ciphertext as bytes."""

    nonce: bytes
    ciphertext: bytes


def require() -> None:
    """Raise :class:`ModuleNotFoundError` naming the extra where PyNaCl is missing."""
    if _missing:
        raise ModuleNotFoundError(
            "encrypted channels need the encrypted extra: pip install 'relay-hub[encrypted]'", name="nacl"
        )


def master_key(app: App) -> bytes:
    """The 32 bytes of ``app.encryption_master_key``. Raises :class:`UsageError` where there is none."""
    if app.encryption_master_key is None:
        raise UsageError(
            f"encrypted channels need the master key of App {app.id}: set encryption_master_key,"
            " base64 of 32 bytes, the same one as in your other server SDKs"
        )
    return base64.b64decode(app.encryption_master_key)


def shared_secret(master: bytes, channel: str) -> bytes:
    """The secret of ``channel``, for everybody who may read and write there."""
    return hashlib.sha256(channel.encode() + master).digest()


def tell_secret(secret: bytes) -> str:
    """``secret`` as an auth endpoint tells it."""
    return base64.b64encode(secret).decode()


def read_secret(told: object) -> bytes:
    """The secret that an auth endpoint told. Raises :class:`CannotDecrypt`, which does not repeat it."""
    if told is None:
        raise CannotDecrypt("the auth endpoint gave no shared_secret: it needs the encryption master key")
    secret = _bytes_of(told, "shared_secret")
    if len(secret) != SECRET_BYTES:
        raise CannotDecrypt(f"shared_secret should be base64 of {SECRET_BYTES} bytes, got {len(secret)}")
    return secret


def encrypt(secret: bytes, text: str, nonce: bytes) -> str:
    """``text`` as the ``data`` of an event. ``nonce`` is 24 random bytes, never used twice with one secret."""
    require()
    box = crypto_secretbox(text.encode(), nonce, secret)
    return messages.json_text({"nonce": base64.b64encode(nonce).decode(), "ciphertext": base64.b64encode(box).decode()})


def read_box(data: object) -> Box:
    """The nonce and ciphertext in the ``data`` of an event, JSON or decoded already.

    Raises :class:`CannotDecrypt` for what is no encrypted event.
    """
    data = messages.unwrapped(data)
    if not isinstance(data, dict) or "nonce" not in data or "ciphertext" not in data:
        raise CannotDecrypt("it is no object with nonce and ciphertext: was it published without encryption?")
    box = Box(_bytes_of(data["nonce"], "nonce"), _bytes_of(data["ciphertext"], "ciphertext"))
    if len(box.nonce) != NONCE_BYTES:
        raise CannotDecrypt(f"the nonce should have {NONCE_BYTES} bytes, got {len(box.nonce)}")
    if len(box.ciphertext) < _TAG_BYTES:
        raise CannotDecrypt(f"the ciphertext should have at least {_TAG_BYTES} bytes, got {len(box.ciphertext)}")
    return box


def decrypt(secret: bytes, box: Box) -> str:
    """The text that was encrypted. Raises :class:`CannotDecrypt` for another secret, or a single changed bit."""
    require()
    try:
        return crypto_secretbox_open(box.ciphertext, box.nonce, secret).decode()
    except CryptoError:
        raise CannotDecrypt("it was encrypted with another secret, or changed on its way", newer_secret=True) from None
    except UnicodeDecodeError:
        raise CannotDecrypt("what was encrypted is no UTF-8 text") from None


def _bytes_of(value: object, what: str) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except ValueError:
        pass
    raise CannotDecrypt(f"the {what} should be base64 text")
