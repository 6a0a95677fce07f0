"""The REST client asks again where that is safe, and no sooner than it should."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from random import Random

import pytest
import trustme

from relay.errors import HostError, PublisherClosed, RateLimited, Unreachable
from relay.testing import ManualClock
from relay_transports.aiohttp import RestClient
from tests.integration.hostile import (
    APP,
    IMPATIENT,
    OK,
    Always,
    Hostile,
    Skipping,
    Watched,
    client_of,
    closed_port,
    cut,
    hostile,
    outcome,
    publish,
    query,
    reset,
    says,
    silence,
    terminate,
    writes,
)

CHANNELS = says(200, '{"channels":{}}')
SURELY_NOT_DONE = [says(503), says(429)]
MAYBE_DONE = [says(500), says(502), says(504), reset, cut]


@pytest.mark.parametrize("failure", [*SURELY_NOT_DONE, *(failure for failure in MAYBE_DONE if failure is not reset)])
async def test_query_is_asked_again(failure):
    host, clock, error = await outcome([failure, failure, CHANNELS], query)
    assert (len(host.asked), clock.pauses, error) == (3, [0.5, 1.0], None)


async def test_query_whose_connection_is_lost_is_asked_again_at_once_by_aiohttp_and_then_after_pauses():
    host, clock, error = await outcome([reset] * 3 + [CHANNELS], query)
    assert (len(host.asked), clock.pauses, error) == (4, [0.5], None)


@pytest.mark.parametrize("failure", [*SURELY_NOT_DONE, *MAYBE_DONE])
async def test_termination_is_asked_again_since_twice_is_once(failure):
    host, _, error = await outcome([failure, OK], terminate)
    assert (len(host.asked), host.asked[0].path, error) == (
        2,
        "/apps/1001/users/u-42/terminate_connections",
        None,
    )


@pytest.mark.parametrize("failure", SURELY_NOT_DONE)
async def test_publish_that_was_surely_not_taken_is_sent_again(failure):
    host, clock, error = await outcome([failure, OK], publish)
    assert (len(host.asked), clock.pauses, error) == (2, [0.5], None)


@pytest.mark.parametrize("failure", MAYBE_DONE)
async def test_publish_that_may_have_been_taken_is_not_sent_again(failure):
    host, clock, error = await outcome([failure, OK], publish)
    assert isinstance(error, HostError)
    assert (len(host.asked), clock.pauses, error.maybe_done) == (1, [], True)


@pytest.mark.parametrize("failure", MAYBE_DONE)
async def test_publish_may_be_sent_twice_for_those_who_say_so(failure):
    host, _, error = await outcome([failure, OK], publish, retry_publish=True)
    assert (len(host.asked), error) == (2, None)


async def test_what_one_attempt_may_have_done_the_next_failure_does_not_undo():
    _, _, error = await outcome([reset, says(503)], publish, retry_publish=True, retries=1)
    assert isinstance(error, HostError)
    assert (error.status, error.maybe_done) == (503, True)


async def test_what_is_sent_again_is_signed_anew():
    host, _, _ = await outcome([says(503, headers="Retry-After: 7\r\n"), OK], publish)
    first, second = host.asked
    assert "auth_timestamp=1760000000&" in first.target
    assert "auth_timestamp=1760000007&" in second.target
    assert first.body == second.body


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 302])
async def test_refusal_is_final(status):
    host, _, error = await outcome([says(status), CHANNELS], query)
    assert (len(host.asked), getattr(error, "status", None)) == (1, status)


async def test_refused_connection_is_tried_again_until_the_host_is_there():
    with closed_port() as held:
        host = Hostile()
        host.port = held.getsockname()[1]
        async with contextlib.AsyncExitStack() as stack:

            async def come_up() -> None:
                held.listen()
                server = await asyncio.start_server(host.serve, sock=held)
                stack.callback(server.close)

            async with client_of(host, Skipping(come_up)) as client:
                await publish(client)
            assert [asked.path for asked in host.asked] == ["/apps/1001/events"]
            await asyncio.gather(*host.tasks)


async def test_nobody_there_is_unreachable_and_surely_nothing_happened():
    with closed_port() as held:
        clock = Skipping()
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        async with RestClient(APP, url, clock=clock, random=Always()) as client:
            with pytest.raises(Unreachable, match=f"cannot connect to {url}") as failed:
                await publish(client)
        assert (failed.value.maybe_done, clock.pauses) == (False, [0.5, 1.0, 2.0])


async def test_connection_that_does_not_come_about_in_time_surely_did_nothing():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with contextlib.ExitStack() as stack:
            for _ in range(8):  # until the kernel takes no more
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
            clock = Skipping()
            async with RestClient(APP, f"http://127.0.0.1:{port}", clock=clock, timeout=IMPATIENT) as client:
                with pytest.raises(Unreachable, match=f"within {IMPATIENT} s") as failed:
                    await publish(client)
    assert (failed.value.maybe_done, len(clock.pauses)) == (False, 3)


async def test_silent_host_is_given_up_and_may_have_published():
    host, clock, error = await outcome([silence], publish, timeout=IMPATIENT)
    assert isinstance(error, Unreachable)
    assert (len(host.asked), clock.pauses, error.maybe_done) == (1, [], True)
    assert str(error) == f"no answer from {host.url} within {IMPATIENT} s"


async def test_certificate_nobody_vouches_for_is_unreachable():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    host = Hostile()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with RestClient(APP, url, retries=0) as client, RestClient(APP, url, ssl=False) as trusting:
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await publish(client)
        await publish(trusting)
    server.close()
    assert len(host.asked) == 1


# How long it waits


async def test_pauses_double_up_to_ten_seconds():
    _, clock, error = await outcome([says(500)] * 8, query, retries=7)
    assert isinstance(error, HostError)
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


async def test_pauses_are_shortened_by_chance_so_that_clients_do_not_come_back_together():
    _, clock, _ = await outcome([says(500)] * 4, query, random=Random(1))
    assert [pause < ceiling for pause, ceiling in zip(clock.pauses, (0.5, 1, 2), strict=True)] == [True] * 3
    assert len(set(clock.pauses)) == 3


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        ("7", 7.0),
        ("0", 0.5),
        ("Thu, 09 Oct 2025 08:53:35 GMT", 15.0),
        ("Thu, 09 Oct 2025 08:53:35 -0000", 15.0),
        ("Thu, 09 Oct 2025 08:00:00 GMT", 0.5),
        ("soon", 0.5),
        ("²", 0.5),
        ("-7", 0.5),
    ],
)
async def test_retry_after_is_kept(said, pause):
    answer = writes(f"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\nRetry-After: {said}\r\n\r\n".encode())
    _, clock, error = await outcome([answer, OK], publish)
    assert (clock.pauses, error) == ([pause], None)


@pytest.mark.parametrize("status", [429, 503])
async def test_host_that_wants_more_than_a_minute_is_told_to_the_caller_at_once(status):
    host, _, error = await outcome([says(status, "later", "Retry-After: 61\r\n")], query)
    assert isinstance(error, RateLimited | HostError)
    assert (len(host.asked), str(error), error.retry_after) == (1, "later", 61.0)


async def test_time_between_attempts_is_the_clocks():
    clock = Watched()
    async with hostile(says(503), CHANNELS) as host, client_of(host, clock) as client:
        waiting = asyncio.ensure_future(client.channels())
        await clock.pausing.wait()
        await clock.advance(0.4)
        assert len(host.asked) == 1
        await clock.advance(0.2)
        assert await waiting == {}


async def test_closing_ends_the_pauses():
    clock = Watched()
    async with hostile(says(503)) as host, client_of(host, clock) as client:
        waiting = asyncio.ensure_future(client.channels())
        await clock.pausing.wait()
        await client.aclose()
        with pytest.raises(PublisherClosed):
            await waiting


async def test_closing_cuts_off_who_waits_for_an_answer():
    async with hostile(silence) as host, client_of(host, ManualClock()) as client:
        waiting = asyncio.ensure_future(publish(client))
        await host.asked_times(1)
        await client.aclose()
        with pytest.raises(Unreachable) as failed:
            await waiting
        assert failed.value.maybe_done
