"""The Node build of pusher-js, plain and with TLS."""

import pytest


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("channel", ["orders", "private-team", "presence-room"])
def test_node_client_subscribes_and_receives(channel, tls, subscribe, sdk):
    subscriber = subscribe(channel, tls=tls)
    sdk.trigger(channel, "paid", {"id": 7})
    assert subscriber.wait_for(event="paid")["data"] == {"id": 7}


def test_node_clients_see_each_other_come_and_go(subscribe):
    ada, bob = subscribe("presence-room", user="ada"), subscribe("presence-room", user="bob")
    assert ada.wait_for(event="pusher:member_added")["data"] == {"id": "bob", "info": {"name": "Bob"}}
    bob.stop()
    assert ada.wait_for(event="pusher:member_removed")["data"]["id"] == "bob"
