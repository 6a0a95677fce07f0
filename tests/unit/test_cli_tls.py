"""`relay serve --tls-cert --tls-key`: encryption that ends in the hub, and a certificate that may be renewed."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.integration import wire
from tests.unit.command import APP, CREDENTIALS, complains, port_in, run, says, sentence, serving

AUTHORITY = trustme.CA()
SOCKET = "/app/app-key?protocol=7"


class Files:
    """A certificate and its key, which a new pair may replace."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.flags = ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]
        self.renew()

    def renew(self) -> None:
        pair = AUTHORITY.issue_cert("127.0.0.1")
        self.cert.write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
        self.key.write_bytes(pair.private_key_pem.bytes())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module")
def browser() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def shown(port: int, browser: ssl.SSLContext) -> bytes:
    """The certificate that a new client is shown."""
    async with wire.dial(port, tls=browser) as client:
        return client.peer_certificate()


async def answers(client: wire.Wire) -> bool:
    client.send('{"event":"pusher:ping"}')
    return "pusher:pong" in (await client.event()).values()


@pytest.mark.parametrize("source", ["flags", "file"])
async def test_clients_come_with_tls(files, browser, source, tmp_path):
    toml = tmp_path / "relay.toml"
    toml.write_text(f'[server]\nport = 0\ntls_cert = "{files.cert}"\ntls_key = "{files.key}"\n{APP}tls_only = true\n')
    flags = ["--config", toml] if source == "file" else ["--port", "0", *CREDENTIALS, *files.flags, "--tls-only"]
    with serving(*flags) as (_, line):
        assert line.startswith("Relay listens on https://127.0.0.1:")
        async with wire.websocket(port_in(line), SOCKET, tls=browser) as client:
            assert (await client.event())["event"] == "pusher:connection_established"
            assert await answers(client)


async def test_rest_calls_come_with_tls(files, browser):
    with serving("--port", "0", *CREDENTIALS, *files.flags) as (_, line):
        assert (await wire.http(port_in(line), "GET", "/apps/1001/channels", tls=browser)).status == 401


async def test_sighup_shows_new_clients_the_new_certificate_and_drops_nobody(files, browser):
    with serving("--port", "0", *CREDENTIALS, *files.flags) as (process, line):
        port = port_in(line)
        old = await shown(port, browser)
        async with wire.websocket(port, SOCKET, tls=browser) as client:
            socket_id = json.loads((await client.event())["data"])["socket_id"]
            files.renew()
            process.send_signal(signal.SIGHUP)
            assert says(process) == "Relay has read the certificate again\n"
            new = await shown(port, browser)
            assert new != old
            assert await answers(client)
            async with wire.websocket(port, SOCKET, tls=browser) as other:
                assert json.loads((await other.event())["data"])["socket_id"] != socket_id


async def test_client_that_names_no_host_gets_the_new_certificate_too(files):
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with serving("--port", "0", *CREDENTIALS, *files.flags) as (process, line):
        old = await shown(port_in(line), anybody)
        files.renew()
        process.send_signal(signal.SIGHUP)
        says(process)
        assert await shown(port_in(line), anybody) != old


def encrypted(key: bytes) -> bytes:
    private = load_pem_private_key(key, None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush-hush"))


def other_key(files: Files) -> None:
    files.key.write_bytes(AUTHORITY.issue_cert("127.0.0.1").private_key_pem.bytes())


def folder_for_key(files: Files) -> None:
    files.key.unlink()
    files.key.mkdir()


MISTAKES: list[tuple[Callable[[Files], object], str]] = [
    (lambda files: files.cert.unlink(), "cannot read {cert}: No such file or directory"),
    (lambda files: files.key.unlink(), "cannot read {key}: No such file or directory"),
    (folder_for_key, "cannot read {key}: Is a directory"),
    (lambda files: files.cert.write_text("certificate"), "{cert} holds no certificate in PEM form"),
    (lambda files: files.cert.write_bytes(files.key.read_bytes()), "{cert} holds no certificate in PEM form"),
    (lambda files: files.key.write_bytes(b""), "{key} holds no private key in PEM form"),
    (lambda files: files.key.write_bytes(files.cert.read_bytes()), "{key} holds no private key in PEM form"),
    (other_key, "the key in {key} does not belong to the certificate in {cert}"),
    (
        lambda files: files.key.write_bytes(encrypted(files.key.read_bytes())),
        "{key} is encrypted with a passphrase, and there is nobody to ask for it",
    ),
    (
        lambda files: files.cert.write_bytes(files.cert.read_bytes().replace(b"M", b"-", 3)),
        "the certificate in {cert} and the key in {key} cannot be used: ",
    ),
]


@pytest.mark.parametrize(("spoil", "told"), MISTAKES)
def test_file_that_cannot_be_used_is_one_sentence_and_exit_code_2(capsys, files, spoil, told):
    spoil(files)
    text = sentence(run(capsys, "serve", "--port", "0", *CREDENTIALS, *files.flags))
    assert text.startswith(told.format(cert=files.cert, key=files.key))


@pytest.mark.parametrize(("spoil", "told"), [MISTAKES[0], MISTAKES[3], MISTAKES[7]])
async def test_bad_new_file_is_told_in_one_line_and_the_old_certificate_stays(files, browser, spoil, told):
    with serving("--port", "0", *CREDENTIALS, *files.flags) as (process, line):
        old = await shown(port_in(line), browser)
        spoil(files)
        process.send_signal(signal.SIGHUP)
        reason = told.format(cert=files.cert, key=files.key)
        assert complains(process) == f"relay: the certificate stays as it was: {reason}\n"
        assert await shown(port_in(line), browser) == old
        files.renew()
        process.send_signal(signal.SIGHUP)
        says(process)
        assert await shown(port_in(line), browser) != old


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--tls-cert", "only the certificate is given: add --tls-key"),
        ("--tls-key", "only the key is given: add --tls-cert"),
    ],
)
def test_one_without_the_other_is_refused(capsys, given, told):
    text = sentence(run(capsys, "serve", *CREDENTIALS, given, "some.pem"))
    assert text == f"TLS needs a certificate and its key, and {told}"


def test_half_in_the_file_and_half_in_flags_is_whole(files, tmp_path, capsys):
    toml = tmp_path / "relay.toml"
    toml.write_text(f'[server]\nport = 0\ntls_cert = "{files.cert}"\n{APP}')
    with serving("--config", toml, *files.flags[2:]) as (_, line):
        assert line.startswith("Relay listens on https://")
    assert sentence(run(capsys, "serve", "--config", toml)).endswith("add --tls-key")
