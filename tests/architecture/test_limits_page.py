"""The page of limits says what App has, and for each limit a test proves what the page says happens beyond it."""

import inspect
import re
from pathlib import Path

import pytest

from relay import App, Hub, counts
from relay.cli import build_parser
from relay.cli.parser import COUNTS, SECONDS
from relay.protocol import names, session, signing
from relay_transports.aiohttp import rest, setup

ROOT = Path(__file__).parents[2]
PAGE = ROOT.joinpath("docs/reference/limits.md").read_text()
APP = App(id="1", key="k", secret="s")
LIMITS = {*COUNTS, *SECONDS}
"""Every field of App that is a number."""

FRAMES, SOCKETS, REQUESTS = (f"tests/integration/test_bad_{what}.py" for what in ("frames", "sockets", "requests"))
CACHE = "tests/unit/test_cache_channels.py"
PROOFS = {
    "max_connections": f"{SOCKETS}::test_refused_client_is_let_in_told_why_and_closed_with_the_code",
    "authorized_within": "tests/unit/test_letting_stay.py::test_who_proves_nothing_in_time_is_closed_with_4009",
    "activity_timeout": "tests/integration/test_timeouts.py::"
    "test_silent_client_is_pinged_after_the_activity_timeout_and_not_before",
    "pong_timeout": "tests/integration/test_timeouts.py::"
    "test_client_that_does_not_answer_is_closed_with_4201_after_the_pong_timeout_and_not_before",
    "max_message_bytes": f"{SOCKETS}::test_broken_frame_ends_its_connection_with_the_right_code",
    "max_subscriptions": f"{FRAMES}::test_connection_may_have_as_many_channels_as_its_app_says",
    "max_members": f"{FRAMES}::test_full_presence_channel_lets_a_second_connection_of_a_member_in_and_no_new_user",
    "max_user_id": f"{FRAMES}::test_bad_frame_gets_its_one_error_and_leaves_no_trace",
    "max_user_info_bytes": f"{FRAMES}::test_bad_frame_gets_its_one_error_and_leaves_no_trace",
    "max_watchlist": "tests/unit/test_watchlists.py::"
    "test_of_a_watchlist_that_is_too_long_the_first_are_watched_and_4302_follows",
    "client_event_rate": f"{FRAMES}::test_client_event_rate_is_for_each_connection_and_second",
    "max_event_bytes": f"{REQUESTS}::test_event_that_may_not_be_published_is_refused_and_nobody_gets_it",
    "max_backlog": "tests/unit/test_hub.py::"
    "test_a_client_that_does_not_read_is_closed_with_4100_and_is_a_fact_and_disturbs_nobody",
    "max_backlog_frames": "tests/unit/test_slow_consumers.py::"
    "test_client_that_does_not_read_stays_and_gets_the_newest_when_it_reads_on",
    "flush_interval": "tests/integration/test_slow_consumers.py::"
    "test_flush_interval_gathers_events_and_loses_none_of_them_at_the_end",
    "offline_grace": "tests/unit/test_watchlists.py::test_a_reconnect_within_the_grace_makes_no_noise",
    "rest_rate": "tests/integration/test_rest_rate.py::"
    "test_one_call_more_than_allowed_is_refused_in_plain_text_that_says_when_to_come_back",
    "max_event_channels": f"{REQUESTS}::test_event_that_may_not_be_published_is_refused_and_nobody_gets_it",
    "max_batch": f"{REQUESTS}::test_batch_with_one_bad_event_publishes_none",
    "cache_ttl": f"{CACHE}::test_the_last_event_is_kept_for_the_apps_cache_ttl",
    "max_cached_channels": f"{CACHE}::test_a_flood_of_names_costs_no_more_than_the_app_allows",
    "max_cached_bytes": f"{CACHE}::test_a_flood_of_names_costs_no_more_than_the_app_allows",
}
OVER_NODES = {
    "over all nodes together": {"max_members", "max_cached_channels", "max_cached_bytes"},
    "on each node by itself": {"max_connections", "rest_rate"},
}
"""What `tests/unit/test_limits_over_nodes.py` proves with two nodes."""

FIXED = {
    "characters of a channel's name": next(size for size in range(1000) if not names.is_channel("x" * (size + 1))),
    "characters of an event's name": names.MAX_EVENT_NAME,
    "subscribers from which": counts.LARGE,
    "seconds that a caller's clock": signing.TIMESTAMP_WINDOW,
    "bytes of a REST call's body": rest.MAX_BODY,
    "messages of one connection that are refused: at once": session.REFUSALS_AT_ONCE,
    "messages of one connection that are refused: in a second": session.REFUSALS_PER_SECOND,
}


def rows(section: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


ROWS = rows("Of clients") + rows("Of REST callers and of your program")


def test_every_limit_of_an_app_is_on_the_page():
    assert {row[1].strip("`") for row in ROWS} == LIMITS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1].strip("`"))
def test_default_on_the_page_is_that_of_app(row):
    assert row[2] == str(getattr(APP, row[1].strip("`"))).lower()


@pytest.mark.parametrize("field", sorted(LIMITS))
def test_every_limit_has_its_flag(field):
    options = build_parser().parse_args(["serve", f"--{field.replace('_', '-')}", "1"])
    assert getattr(options, field) == 1


@pytest.mark.parametrize("field", sorted(LIMITS))
def test_every_limit_has_a_test(field):
    path, _, name = PROOFS[field].partition("::")
    assert re.search(rf"^(async )?def {name}\(", ROOT.joinpath(path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("counted", OVER_NODES)
def test_page_says_which_limits_are_counted_over_all_nodes(counted):
    (fields,) = (row[1] for row in rows("Over several nodes") if row[0].startswith(counted))
    assert {*re.findall(r"`(\w+)`", fields)} == OVER_NODES[counted]


@pytest.mark.parametrize("what", FIXED)
def test_value_on_the_page_is_that_of_the_code(what):
    (value,) = (row[1] for row in rows("The same for every App") if row[0].startswith(what))
    assert float(value) == FIXED[what]


def test_pause_of_large_channels_is_that_of_the_code():
    assert f"every {counts.PAUSE:.0f} seconds at most" in PAGE


@pytest.mark.parametrize(
    ("function", "option"),
    [
        (Hub, "max_connections"),
        (Hub, "hold"),
        (setup, "max_connections_per_address"),
        (setup, "max_fallback_sessions"),
    ],
)
def test_limits_of_the_process_have_the_defaults_on_the_page(function, option):
    (default,) = (row[2] for row in rows("Of the whole process") if f"{option}=" in row[1])
    assert default == str(inspect.signature(function).parameters[option].default).lower()
