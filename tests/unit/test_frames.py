"""RFC 6455 frames, read back by a decoder of their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_transports import frames


def decode(data: bytes) -> tuple[int, bytes, bytes]:
    """First byte and payload of the first frame of a server, and what comes after it."""
    first, length = data[0], data[1]
    assert not length & 0x80, "a server does not mask"
    head = 2 if length < 126 else 4 if length == 126 else 10
    size = length if length < 126 else int.from_bytes(data[2:head], "big")
    assert len(data) >= head + size
    assert size >= {2: 0, 4: 126, 10: 65536}[head], "RFC 6455 5.2: the shortest form that holds the length"
    return first, data[head : head + size], data[head + size :]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_text_of_any_length_is_one_whole_text_frame(size):
    text = b"x" * size
    assert decode(frames.WEBSOCKET.frame(text)) == (0x81, text, b"")


@pytest.mark.parametrize("opcode", [frames.TEXT, frames.CLOSE, frames.PING, frames.PONG])
@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_of_every_kind_say_which_they_are(opcode, size):
    assert decode(frames.frame(opcode, b"x" * size)) == (opcode, b"x" * size, b"")


def test_opcodes_are_final_and_those_of_the_rfc():
    assert (frames.TEXT, frames.CLOSE, frames.PING, frames.PONG) == (0x81, 0x88, 0x89, 0x8A)


def test_a_ping_carries_nothing():
    assert decode(frames.WEBSOCKET.ping) == (0x89, b"", b"")


def test_a_close_frame_carries_code_and_reason():
    assert decode(frames.close(4201, "Pong reply not received")) == (0x88, b"\x10\x69Pong reply not received", b"")
    assert decode(frames.close(4200)) == (0x88, b"\x10\x68", b"")


@given(st.text(max_size=200))
def test_a_reason_is_cut_to_123_bytes_at_the_edge_of_a_character(reason):
    _, payload, _ = decode(frames.close(4001, reason))
    shown = payload[2:].decode()
    assert len(payload) <= 125
    assert reason.startswith(shown)
    assert shown == reason or len((shown + reason[len(shown)]).encode()) > 123


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_frames_one_after_the_other_are_told_apart(texts):
    data, found = b"".join(map(frames.WEBSOCKET.frame, texts)), []
    while data:
        _, text, data = decode(data)
        found.append(text)
    assert found == texts
