"""The REST client against hosts that fail: every failure has its type, and none tells a secret."""

from __future__ import annotations

import asyncio
import logging

import pytest

from relay import App, Event, RequestError
from relay.errors import BadAnswer, HostError, RateLimited, Unauthorized, Unreachable
from relay.hub import ChannelInfo
from relay.protocol.messages import Member
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient
from tests.integration.hostile import (
    IMPATIENT,
    OK,
    after,
    client_of,
    cut,
    hostile,
    outcome,
    publish,
    query,
    reset,
    says,
    silence,
    writes,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestError),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, RequestError),
        (413, RequestError),
        (429, RateLimited),
        (500, HostError),
        (503, HostError),
    ],
)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Too bad\n", "Too bad"),
        ('{"error":"Too bad","code":1}', "Too bad"),
        ('{"message":"Too bad"}', "Too bad"),
        ("<h1>Too\r\n  bad</h1>", "<h1>Too bad</h1>"),
        ("[" * 100_000, "[" * 300),
    ],
)
async def test_plain_refusal_becomes_an_exception_of_its_kind(status, kind, body, words):
    _, _, error = await outcome([says(status, body)], query, retries=0)
    assert (type(error), getattr(error, "status", None), str(error)) == (kind, status, words)


async def test_refusal_without_words_tells_its_status():
    _, _, error = await outcome([says(500)], query, retries=0)
    assert str(error) == "HTTP status 500"


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
async def test_redirect_is_not_followed(status):
    host, _, error = await outcome([says(status, "", "Location: /elsewhere\r\n")], publish)
    assert (type(error), len(host.asked)) == (BadAnswer, 1)


@pytest.mark.parametrize(
    "body", ["", "ok", "[]", "null", '{"channels":7}', '{"channels":{"a":{"user_count":"x"}}}', "\xff"]
)
async def test_answer_to_a_query_that_is_not_one_is_bad(body):
    host, _, error = await outcome([says(200, body)], query)
    assert (type(error), len(host.asked)) == (BadAnswer, 1)


@pytest.mark.parametrize("noise", [b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\0" * 20_000])
async def test_noise_is_unreachable(noise):
    _, _, error = await outcome([writes(noise)], publish)
    assert isinstance(error, Unreachable)
    assert error.maybe_done


async def test_endless_answer_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr("relay_transports.aiohttp.outgoing._MOST_ANSWER", 1000)
    _, _, error = await outcome([says(200, "x" * 2000)], query)
    assert isinstance(error, BadAnswer)


@pytest.mark.parametrize(("status", "body"), [(200, "{}"), (202, ""), (200, '{"ok":true}'), (204, ""), (200, "fine")])
async def test_publish_is_done_whatever_a_good_status_says_besides(status, body):
    async with hostile(says(status, body), says(status, body)) as host, client_of(host, ManualClock()) as client:
        assert (await client.trigger(["a", "b"], "x", "")).info == {"a": {}, "b": {}}
        assert [receipt.info for receipt in await client.trigger_batch([Event("a", "x")])] == [{"a": {}}]
        assert await client.send_to_user("u", "x", "") is not None


async def test_empty_objects_of_php_hosts_are_understood():
    lists = says(200, '{"channels":[]}'), says(200, '{"channels":{"orders":[]}}'), says(200, '{"users":[{"id":7}]}')
    async with hostile(*lists) as host, client_of(host, ManualClock()) as client:
        assert await client.channels() == {}
        assert await client.channels() == {"orders": ChannelInfo("orders", occupied=True)}
        assert await client.members("presence-room") == [Member("7")]


async def test_failed_batch_says_how_much_is_published():
    async with hostile(OK, OK, says(400, "no")) as host, client_of(host, ManualClock()) as client:
        with pytest.raises(RequestError) as failed:
            await client.trigger_batch([Event("orders", "paid", str(number)) for number in range(25)])
    assert [len(asked.json["batch"]) for asked in host.asked] == [10, 10, 5]
    assert "the first 20 of 25 events were published" in failed.value.__notes__


async def test_large_batch_is_sent_without_a_warning():
    large = App(id="1001", key="app-key", secret="app-secret", max_event_bytes=1 << 20)
    async with hostile() as host, RestClient(large, host.url) as client:
        await client.trigger_batch([Event("orders", "x", "x" * 900_000)] * 2)
        assert len(host.asked[0].json["batch"]) == 2


@pytest.mark.parametrize("failure", [reset, cut, silence, says(401, "no"), writes(b"noise\r\n\r\n"), says(500)])
async def test_no_trace_of_a_failure_tells_the_signature(failure, caplog):
    caplog.set_level(logging.DEBUG)
    host, _, error = await outcome([failure] * 4, query, timeout=IMPATIENT, retries=1)
    assert error is not None
    signatures = [asked.target.rpartition("=")[2] for asked in host.asked]
    told = [
        str(error),
        repr(error),
        *getattr(error, "__notes__", ()),
        *map(str, caplog.records),
        *(str(vars(r)) for r in caplog.records),
    ]
    assert [text for text in told if any(signature in text for signature in signatures)] == []
    assert (error.__context__, error.__cause__) == (None, None)


async def test_signature_that_a_host_repeats_is_hidden():
    async def echo(writer: asyncio.StreamWriter) -> None:
        await says(401, f"you sent {host.asked[0].target}")(writer)

    async with hostile(echo) as host, client_of(host, ManualClock()) as client:
        with pytest.raises(Unauthorized, match=r"auth_signature=\*\*\*"):
            await publish(client)


async def test_cancelled_verb_leaves_nothing_behind():
    async with hostile(silence) as host, client_of(host, ManualClock()) as client:
        waiting = asyncio.ensure_future(publish(client))
        await host.asked_times(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await publish(client)
    assert len(host.asked) == 2


async def test_slow_start_of_one_answer_does_not_hold_up_another():
    gate = asyncio.Event()
    async with hostile(after(gate, OK), OK) as host, client_of(host, ManualClock()) as client:
        first = asyncio.ensure_future(publish(client))
        await host.asked_times(1)
        await publish(client)
        gate.set()
        await first
