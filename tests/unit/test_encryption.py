"""Secrets and encrypted events (protocol 8.3): the known vector, and what is told about anything else."""

import base64
import json
from random import Random

import pytest
from nacl.secret import SecretBox

from relay import App, TooLarge, UsageError
from relay.protocol.encryption import (
    Box,
    CannotDecrypt,
    decrypt,
    encrypt,
    master_key,
    read_box,
    read_secret,
    shared_secret,
    tell_secret,
)
from relay.protocol.events import CheckedEvent, encrypted, readable

VAULT = "private-encrypted-vault"
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
APP = App(id="1001", key="app-key", secret="app-secret", encryption_master_key=MASTER_KEY)
KEYLESS = App(id="1002", key="other-key", secret="app-secret")
SECRET = shared_secret(master_key(APP), VAULT)
NONCE = bytes(range(100, 124))
DATA = '{"nonce":"ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7","ciphertext":"drPq05M5aPZNSeqgsv7HGKtj0tBKAt8="}'


def checked(*channels: str, data: str = '{"n":1}') -> CheckedEvent:
    return CheckedEvent(channels, "paid", data, None, ())


def box(nonce: object = NONCE, ciphertext: object = b"x" * 16) -> dict[str, object]:
    """What stands in ``data``; bytes become base64."""
    told = {"nonce": nonce, "ciphertext": ciphertext}
    return {name: base64.b64encode(x).decode() if isinstance(x, bytes) else x for name, x in told.items()}


def test_vector_of_the_protocol():
    assert tell_secret(SECRET) == "wp8Orjt2S4H4n8dDP7pa2A9reduRTTedbaiVnjqomsc="
    assert read_secret(tell_secret(SECRET)) == SECRET
    assert encrypt(SECRET, '{"n":1}', NONCE) == DATA
    assert decrypt(SECRET, read_box(DATA)) == '{"n":1}'


def test_box_may_come_decoded_already():
    assert read_box(json.loads(DATA)) == read_box(DATA)


def test_each_channel_has_a_secret_of_its_own():
    assert len({shared_secret(master_key(APP), VAULT + suffix) for suffix in ("", "2", "-cache")}) == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("plain", "no object with nonce and ciphertext"),
        ("{", "no object with nonce and ciphertext"),
        ("null", "no object with nonce and ciphertext"),
        (None, "no object with nonce and ciphertext"),
        ([1], "no object with nonce and ciphertext"),
        ({}, "no object with nonce and ciphertext"),
        ({"nonce": ""}, "no object with nonce and ciphertext"),
        (box(nonce=7), "the nonce should be base64 text"),
        (box(nonce="%%%"), "the nonce should be base64 text"),
        (box(nonce="é"), "the nonce should be base64 text"),
        (box(nonce=NONCE[:-1]), "the nonce should have 24 bytes, got 23"),
        (box(nonce=NONCE + b"x"), "the nonce should have 24 bytes, got 25"),
        (box(nonce=""), "the nonce should have 24 bytes, got 0"),
        (box(ciphertext=None), "the ciphertext should be base64 text"),
        (box(ciphertext={"a": 1}), "the ciphertext should be base64 text"),
        (box(ciphertext="AAA"), "the ciphertext should be base64 text"),
        (box(ciphertext=b"x" * 15), "the ciphertext should have at least 16 bytes, got 15"),
    ],
)
def test_what_is_no_encrypted_event_is_told_and_no_other_secret_would_help(data, says):
    with pytest.raises(CannotDecrypt, match=says) as error:
        read_box(data)
    assert not error.value.newer_secret


@pytest.mark.parametrize("other", [read_box(box()), Box(NONCE[::-1], read_box(DATA).ciphertext)], ids=["box", "nonce"])
def test_what_the_secret_does_not_open_may_be_for_another_one(other):
    with pytest.raises(CannotDecrypt, match="another secret, or changed") as error:
        decrypt(SECRET, other)
    assert error.value.newer_secret


def test_what_was_encrypted_and_is_no_text_is_told():
    sealed = SecretBox(SECRET).encrypt(b"\xff", NONCE)
    with pytest.raises(CannotDecrypt, match="no UTF-8 text") as error:
        decrypt(SECRET, Box(NONCE, sealed.ciphertext))
    assert not error.value.newer_secret


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "gave no shared_secret"),
        ("", "32 bytes, got 0"),
        ("AAAA", "32 bytes, got 3"),
        ("%", "should be base64 text"),
        (7, "should be base64 text"),
    ],
)
def test_secret_that_cannot_be_is_refused(told, says):
    with pytest.raises(CannotDecrypt, match=says):
        read_secret(told)


def test_event_is_encrypted_with_a_new_nonce_each_time():
    random = Random(1)
    one, two = (encrypted(APP, checked(VAULT), random) for _ in range(2))
    assert one.data != two.data
    assert [readable(APP, event) for event in (one, two)] == ['{"n":1}'] * 2


@pytest.mark.parametrize("channels", [("orders",), ("private-encrypted",), ("orders", "private-team")])
def test_event_for_other_channels_stays_as_it_is(channels):
    event = checked(*channels)
    assert encrypted(KEYLESS, event, Random(1)) is event
    assert readable(APP, event) == event.data


@pytest.mark.parametrize("channels", [(VAULT, "orders"), ("orders", VAULT), (VAULT, VAULT + "2")])
def test_encrypted_channel_stands_alone_as_in_the_sdks(channels):
    with pytest.raises(UsageError, match="cannot trigger to multiple channels when using encrypted channels"):
        encrypted(APP, checked(*channels), Random(1))


def test_without_a_master_key_it_is_asked_for():
    with pytest.raises(UsageError, match="need the master key of App 1002: set encryption_master_key"):
        encrypted(KEYLESS, checked(VAULT), Random(1))


def test_limit_is_that_of_the_encrypted_data():
    fits = "x" * 7619
    assert len(encrypted(APP, checked(VAULT, data=fits), Random(1)).data) <= APP.max_event_bytes
    with pytest.raises(TooLarge, match=r"maximum \(10240 bytes\), encrypted: 1024\d\."):
        encrypted(APP, checked(VAULT, data=fits + "x"), Random(1))


@pytest.mark.parametrize("data", ["plain", "{}", DATA.replace("d", "e")])
def test_what_the_master_key_does_not_open_is_shown_as_it_is(data):
    assert readable(APP, checked(VAULT, data=data)) == data
    assert readable(KEYLESS, checked(VAULT, data=DATA)) == DATA
