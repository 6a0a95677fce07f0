"""RFC 6455 read from a client: whole messages out, whatever the pieces; the right close code for what is wrong."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_transports import reader
from relay_transports.reader import FrameReader, Violation
from tests.integration.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, header

LIMIT = 1000
Message = tuple[int, bytes]

texts = st.text(max_size=80).map(str.encode)
controls = st.lists(st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)), max_size=2)
cuts = st.lists(st.integers(0, 4000), max_size=20)


def read(*pieces: bytes) -> tuple[list[Message], Violation | None]:
    """All that a reader finds, and what is wrong with it."""
    frames = FrameReader(LIMIT)
    return [message for piece in pieces for message in frames.feed(piece)], frames.violation


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    """The bytes of some messages, each in fragments with control frames between them, and what is to be read."""
    data, expected = b"", []
    for _ in range(draw(st.integers(0, 4))):
        opcode, payload = draw(st.one_of(st.tuples(st.just(TEXT), texts), st.tuples(st.just(BINARY), st.binary())))
        fragments = pieces(payload, draw(st.lists(st.integers(0, 80), max_size=3)))
        for number, fragment in enumerate(fragments):
            final = number == len(fragments) - 1
            data += frame(CONTINUATION if number else opcode, fragment, final=final)
            if final:
                expected.append((opcode, payload))
            for control, body in draw(controls):
                data += frame(control, body)
                expected.append((control, body))
    return data, expected


@given(conversations(), cuts)
def test_however_the_bytes_arrive_the_messages_are_whole_and_in_order(conversation, at):
    data, expected = conversation
    assert read(*pieces(data, at)) == (expected, None)


@given(conversations(), st.integers(0, 4000), st.binary(max_size=20), cuts)
def test_however_broken_bytes_arrive_the_same_is_wrong_with_them(conversation, where, rubbish, at):
    data, _ = conversation
    broken = data[:where] + rubbish + data[where + len(rubbish) :]
    assert read(*pieces(broken, at)) == read(broken)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmasking_is_an_xor_with_the_mask_again_and_again(payload, mask):
    assert reader.unmask(payload, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, LIMIT])
def test_message_of_every_form_of_length_up_to_the_limit_is_read(size):
    assert read(frame(BINARY, b"x" * size)) == ([(BINARY, b"x" * size)], None)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(header(0x80 | TEXT, LIMIT + 1), 1009, id="too big, by its header alone"),
        pytest.param(header(0x80 | TEXT, 1 << 63), 1009, id="too big for any machine"),
        pytest.param(frame(BINARY, b"x" * LIMIT, final=False) + header(0x80, 1), 1009, id="too big in fragments"),
        pytest.param(frame(TEXT, b"", final=False) + frame(0, b"", final=False) * 4096, 1009, id="endless fragments"),
        pytest.param(frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf"), 1007, id="half a character"),
        pytest.param(frame(TEXT, b"\xf4\x90\x80\x80"), 1007, id="beyond Unicode"),
        pytest.param(frame(TEXT, b"\xc0\xaf"), 1007, id="an overlong form"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xed\xa0\x80"), 1007, id="a surrogate in a reason"),
        pytest.param(frame(PING, b"", reserved=1), 1002, id="a reserved bit of a control frame"),
        pytest.param(header(0x80 | PING, 126), 1002, id="a long ping, by its header alone"),
        pytest.param(frame(PONG, b"", final=False), 1002, id="half a pong"),
        pytest.param(frame(CONTINUATION, b""), 1002, id="a continuation of nothing"),
        pytest.param(frame(TEXT, b"", final=False) + frame(BINARY, b""), 1002, id="a message inside a message"),
        pytest.param(frame(TEXT, b"", masked=False), 1002, id="no mask"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a close code"),
    ],
)
def test_what_is_wrong_is_told_with_its_close_code(data, code):
    messages, violation = read(data + frame(TEXT, b"more"))
    assert (messages, violation and violation.code) == ([], code)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_unknown_opcode_is_a_protocol_error(opcode):
    assert read(frame(opcode, b"")) == ([], Violation(1002, "unknown opcode"))


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])
def test_close_code_that_may_be_sent_is_read(code):
    payload = code.to_bytes(2, "big") + "für heute".encode()
    assert read(frame(CLOSE, payload)) == ([(CLOSE, payload)], None)
    assert reader.may_close_with(code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_close_code_that_is_never_sent_is_a_protocol_error(code):
    assert read(frame(CLOSE, code.to_bytes(2, "big"))) == ([], Violation(1002, "illegal close code"))
    assert not reader.may_close_with(code)


def test_text_is_judged_whole_so_that_a_character_may_be_cut_by_fragments():
    data = frame(TEXT, b"\xce", final=False) + frame(CONTINUATION, b"\xba")
    assert read(data) == ([(TEXT, b"\xce\xba")], None)


def test_after_a_violation_nothing_is_read_any_more():
    frames = FrameReader(LIMIT)
    assert frames.feed(frame(TEXT, b"before") + frame(TEXT, b"\xff") + frame(TEXT, b"behind")) == [(TEXT, b"before")]
    assert frames.feed(frame(CLOSE, b"")) == []
