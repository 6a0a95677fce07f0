"""The certificate that ``relay serve`` shows, from two files that may change under it."""

from __future__ import annotations

import ssl
from pathlib import Path

from relay.errors import UsageError

_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


class Certificate:
    """``context`` is what to listen with; after :meth:`reload` new handshakes get what the files hold then.

    Raises :class:`UsageError` for files that cannot be used, in one sentence that names the file at fault.
    """

    def __init__(self, certificate: str, key: str) -> None:
        self._files = certificate, key
        self.context = self._newest = _load(certificate, key)
        # Loading into the context that listens would leave it with half a pair if the second file is bad.
        self.context.sni_callback = self._choose  # asked in every handshake, also when the client names no host

    def reload(self) -> None:
        """Read the files again; when they cannot be used :class:`UsageError` is raised, and nothing has changed."""
        self._newest = _load(*self._files)

    def _choose(self, connection: ssl.SSLObject, _host: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest


def _load(certificate: str, key: str) -> ssl.SSLContext:
    if b"-----BEGIN CERTIFICATE-----" not in _read(certificate):
        raise UsageError(f"{certificate} holds no certificate in PEM form")
    if b"PRIVATE KEY-----" not in _read(key):
        raise UsageError(f"{key} holds no private key in PEM form")

    def no_passphrase() -> str:
        raise UsageError(f"{key} is encrypted with a passphrase, and there is nobody to ask for it")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason in _MISMATCH:
            raise UsageError(f"the key in {key} does not belong to the certificate in {certificate}") from None
        told = error.reason or "not valid PEM"
        raise UsageError(f"the certificate in {certificate} and the key in {key} cannot be used: {told}") from None
    return context


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
