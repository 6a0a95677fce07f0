"""What an application may publish (protocol 6.2, 13)."""

import pytest

from relay import App, Event, TooLarge, UsageError
from relay.protocol.events import CheckedEvent, check_event, check_info

APP = App(id="1", key="k", secret="s", max_event_bytes=10, max_event_channels=3)


def test_an_event_is_made_ready_names_distinct_and_in_order_and_data_a_string():
    event = Event(["b", "a", "b"], "paid", {"a": 1}, "1.1", ["user_count"])
    assert check_event(APP, event) == CheckedEvent(("b", "a"), "paid", '{"a":1}', "1.1", ("user_count",))


def test_one_channel_may_be_given_by_its_name_alone():
    assert check_event(APP, Event("orders", "paid", "")) == CheckedEvent(("orders",), "paid", "", None, ())


@pytest.mark.parametrize("data", ["", "plain", "{}", None, 0, [1, 2]])
def test_data_may_be_anything_json_can_say(data):
    assert isinstance(check_event(APP, Event("a", "paid", data)).data, str)


@pytest.mark.parametrize("name", ["client-a", "a" * 200, "App\\Events\\Paid", "é", "."])
def test_names_of_events_are_free(name):
    assert check_event(APP, Event("a", name)).name == name


def test_a_users_own_channel_is_a_target():
    assert check_event(APP, Event("#server-to-user-auth0|7", "notice")).channels == ("#server-to-user-auth0|7",)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event("a", ""), "Expected name parameter to be a string that is not empty"),
        (Event("a", None), "Expected name parameter to be a string that is not empty"),  # type: ignore[arg-type]
        (Event("a", "a" * 201), "Event name has 201 characters, allowed are 200"),
        (Event("a", "pusher:paid"), "The 'pusher' namespace is reserved for internal usage"),
        (Event("a", "pusher-note"), "The 'pusher' namespace is reserved for internal usage"),
        (Event([], "paid"), "Missing required parameter: channel"),
        (Event(["a", "b c"], "paid"), "Invalid channel name 'b c'"),
        (Event(["a", 7], "paid"), "Invalid channel name 7"),  # type: ignore[list-item]
        (Event("#other", "paid"), "Invalid channel name '#other'"),
        (Event(["a", "b", "c", "d"], "paid"), "Too many channels (4 > 3)"),
        (Event("a", "paid", "", "1.x"), "Invalid socket id '1.x': should be two integers joined by a dot"),
        (Event("a", "paid", "", 7), "Invalid socket id 7: should be two integers joined by a dot"),  # type: ignore[arg-type]
        (Event("a", "paid", object()), "Event data cannot be said in JSON: "),
        (Event("a", "paid", "\ud800"), "Event data cannot be said in JSON: "),
        (Event("a", "paid", {"rates": [float("nan")]}), "Event data cannot be said in JSON: "),
        (
            Event("a", "paid", "", None, ["size"]),
            "Unknown info attribute 'size': allowed are user_count, subscription_count",
        ),
    ],
)
def test_what_may_not_be_published_is_a_usage_error_that_says_why(event, message):
    with pytest.raises(UsageError) as error:
        check_event(APP, event)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("event", [Event("a", "\ud800"), Event("#server-to-user-\ud800", "paid")])
def test_names_that_utf8_cannot_say_are_a_usage_error_too(event):
    with pytest.raises(UsageError):
        check_event(APP, event)


def test_channels_are_counted_once_they_are_distinct():
    assert check_event(APP, Event(["a", "b", "a", "c", "a"], "paid")).channels == ("a", "b", "c")


def test_data_of_exactly_the_largest_size_passes_and_a_byte_more_is_too_large():
    assert check_event(APP, Event("a", "paid", "é" * 5)).data == "é" * 5
    with pytest.raises(TooLarge, match=r"^The data content of this event exceeds the allowed maximum \(10 bytes\)\.$"):
        check_event(APP, Event("a", "paid", "é" * 5 + "x"))


def test_a_shown_name_is_cut():
    with pytest.raises(UsageError) as error:
        check_event(APP, Event(" " * 5000, "paid"))
    assert len(str(error.value)) < 300


def test_info_is_checked_against_what_may_be_asked():
    assert check_info(["a", "b"], ["b", "a"]) == ("a", "b")
    with pytest.raises(UsageError, match=r"^Unknown info attribute 'c': allowed are b, a$"):
        check_info(["a", "c"], ["b", "a"])
