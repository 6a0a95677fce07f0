"""Whatever is encrypted comes back as it was; whatever was changed on the way is noticed, and nothing else happens."""

import json

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.protocol.encryption import Box, CannotDecrypt, decrypt, encrypt, read_box, shared_secret
from relay.testing import Kit

masters = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=24, max_size=24)
channels = st.from_regex(r"private-encrypted-[-A-Za-z0-9_=@,.;]{1,40}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["nonce", "ciphertext", "x"]), inner),
)


@given(masters, channels, texts, nonces)
def test_what_was_encrypted_comes_back_as_it_was(master, channel, text, nonce):
    secret = shared_secret(master, channel)
    assert decrypt(secret, read_box(encrypt(secret, text, nonce))) == text


@given(masters, channels, texts, nonces, st.data())
def test_a_single_changed_bit_is_noticed(master, channel, text, nonce, data):
    secret = shared_secret(master, channel)
    box = read_box(encrypt(secret, text, nonce))
    whole = bytearray(box.nonce + box.ciphertext)
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CannotDecrypt) as error:
        decrypt(secret, Box(bytes(whole[:24]), bytes(whole[24:])))
    assert error.value.newer_secret


@given(st.lists(st.tuples(masters, channels), min_size=2, max_size=2, unique=True), texts, nonces)
def test_no_other_secret_opens_it(whose, text, nonce):
    secret, other = (shared_secret(master, channel) for master, channel in whose)
    box = read_box(encrypt(secret, text, nonce))
    if secret != other:  # a channel name may end in what the other master key begins with
        with pytest.raises(CannotDecrypt):
            decrypt(other, box)


@given(anything | st.text().map(lambda text: {"nonce": text, "ciphertext": text}))
def test_rubbish_is_told_and_never_anything_else(data):
    with pytest.raises(CannotDecrypt):
        decrypt(b"\0" * 32, read_box(data))


VAULT = "private-encrypted-vault"
boxes = st.fixed_dictionaries({"nonce": anything, "ciphertext": anything})


@settings(max_examples=30)
@given(st.lists(anything | boxes | boxes.map(json.dumps), max_size=5))
def test_whatever_comes_the_client_counts_it_and_goes_on(frames):
    async def feed():
        kit = Kit()
        client = await kit.connect()
        vault = await client.subscribe(VAULT)
        for data in frames:
            client.feed(json.dumps({"event": "paid", "channel": VAULT, "data": data}).encode())
        await kit.hub.trigger(VAULT, "paid", 1)
        assert (await vault.expect("paid")).data == 1
        await vault.expect_nothing()
        assert vault.undecrypted == len(frames)
        kit.close()

    anyio.run(feed)
