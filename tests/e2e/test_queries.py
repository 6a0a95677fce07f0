"""What the server SDKs can ask for with `get` and `post`."""

import pytest

from .sdks import Rejected


@pytest.fixture
def audience(subscribe):
    """Ada on two sockets and Bob, all in a room, and two subscribers of orders."""
    return [
        subscribe("presence-room", "orders", user="ada"),
        subscribe("presence-room", "orders", user="ada"),
        subscribe("presence-room", user="bob"),
    ]


@pytest.fixture
def npm(make_sdk):
    """The SDK with the raw `get` and `post`."""
    return make_sdk("npm")


def test_channels_that_are_occupied(sdk, audience):
    assert sdk.channels("", []) == {"channels": {"presence-room": {}, "orders": {}}}


def test_channels_by_prefix_with_user_counts(sdk, audience):
    assert sdk.channels("presence-", ["user_count"]) == {"channels": {"presence-room": {"user_count": 2}}}


def test_channels_when_nobody_is_there(sdk):
    assert sdk.channels("", []) == {"channels": {}}


def test_one_channel_with_counts(sdk, audience):
    assert sdk.channel("presence-room", ["user_count"]) == {"occupied": True, "user_count": 2}
    assert sdk.channel("orders", ["subscription_count"]) == {"occupied": True, "subscription_count": 2}
    assert sdk.channel("nobody-here", []) == {"occupied": False}


def test_users_of_a_presence_channel(sdk, audience):
    assert sdk.users("presence-room") == {"users": [{"id": "ada"}, {"id": "bob"}]}
    assert sdk.users("presence-empty") == {"users": []}


def test_users_of_another_channel_are_refused(sdk):
    with pytest.raises(Rejected, match="Users can only be retrieved for presence channels"):
        sdk.users("orders")


def test_user_count_without_presence_is_refused(sdk):
    with pytest.raises(Rejected, match="user_count may only be requested for presence channels"):
        sdk.channels("", ["user_count"])


def test_raw_get_with_several_infos(npm, audience):
    params = {"filter_by_prefix": "presence-", "info": "user_count,subscription_count"}
    assert npm.get("/channels", params)["channels"]["presence-room"]["user_count"] == 2
    assert npm.get("/channels/presence-room/users", {}) == {"users": [{"id": "ada"}, {"id": "bob"}]}


def test_raw_post_publishes(npm, audience):
    event = {"name": "paid", "channel": "orders", "data": '{"id":7}'}
    assert npm.post("/events", event) == {}
    assert npm.post("/batch_events", {"batch": [event]}) == {}
    for _ in range(2):
        assert audience[0].wait_for(event="paid")["data"] == {"id": 7}


def test_trigger_with_info_answers_counts(npm, audience):
    info = {"info": "subscription_count,user_count"}
    counts = npm.call("trigger", ["orders", "presence-room"], "paid", {}, info)["channels"]
    assert counts["orders"] == {"subscription_count": 2}
    assert counts["presence-room"]["user_count"] == 2


def test_batch_with_info_answers_in_its_order(npm, audience):
    batch = [
        {"channel": "orders", "name": "paid", "data": {}},
        {"channel": "presence-room", "name": "paid", "data": {}, "info": "user_count"},
    ]
    assert npm.call("triggerBatch", batch) == {"batch": [{}, {"user_count": 2}]}
