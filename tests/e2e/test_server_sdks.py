"""`trigger` from the official server SDKs, however they are configured, to pusher-js in Node."""

import pytest

from .sdks import Rejected

SOURCES = ["pypi", "npm"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("configured_by", ["url", "credentials"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_configured_sdk_reaches_subscribers(source, configured_by, tls, make_sdk, subscribe):
    subscriber = subscribe("orders")
    sdk = make_sdk(source, configured_by=configured_by, tls=tls)
    assert sdk.trigger("orders", "paid", {"id": 7, "note": "café"}) == {}
    assert subscriber.wait_for(event="paid")["data"] == {"id": 7, "note": "café"}


def test_one_trigger_reaches_several_channels(sdk, subscribe):
    subscriber = subscribe("orders", "private-team")
    sdk.trigger(["orders", "private-team"], "paid", "as it is")
    assert subscriber.wait_for(event="paid") == {"channel": "orders", "event": "paid", "data": "as it is"}
    assert subscriber.wait_for(event="paid") == {"channel": "private-team", "event": "paid", "data": "as it is"}


def test_batch_is_published_in_its_order(sdk, subscribe):
    subscriber = subscribe("orders")
    assert sdk.trigger_batch([{"channel": "orders", "name": "step", "data": {"n": n}} for n in range(10)]) == {}
    assert [subscriber.wait_for(event="step")["data"]["n"] for _ in range(10)] == list(range(10))


@pytest.mark.parametrize("source", SOURCES)
def test_wrong_secret_is_rejected(source, make_sdk):
    sdk = make_sdk(source, secret="another-secret")
    with pytest.raises(Rejected, match="Invalid signature"):
        sdk.trigger("orders", "paid", {})


@pytest.mark.parametrize("source", SOURCES)
def test_too_much_data_is_rejected_in_pushers_words(source, make_sdk):
    sdk = make_sdk(source)
    with pytest.raises(Rejected, match="exceeds the allowed maximum"):
        sdk.trigger("orders", "paid", "x" * 10_241)
