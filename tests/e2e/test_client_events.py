"""Events that one browser sends to the others of a private or presence channel."""


def test_client_event_reaches_the_others_and_not_its_sender(library, open_client, some_sdk):
    ada, bob = open_client(library, "ada"), open_client(library, "bob")
    for client in ada, bob:
        client.subscribe("private-team")
    ada.run("pusher.channel('private-team').trigger('client-typing', {who: 'ada'})")
    assert bob.wait_for("client-typing") == {"who": "ada"}
    some_sdk.trigger("private-team", "done", {})
    ada.wait_for("done")
    assert ada.events() == [("done", {})]


def test_client_event_of_a_member_says_who_sent_it(open_client):
    ada, bob = open_client("8.6.0", "ada"), open_client("8.6.0", "bob")
    for client in ada, bob:
        client.subscribe("presence-room")
    bob.run("() => { pusher.channel('presence-room').bind('client-typing', (data, meta) => { window.from = meta }) }")
    ada.run("pusher.channel('presence-room').trigger('client-typing', 'text')")
    assert bob.wait_for("client-typing") == "text"
    assert bob.run("from") == {"user_id": "ada"}


def test_too_many_client_events_are_an_error_and_no_more(library, open_client, some_sdk):
    ada, bob = open_client(library, "ada"), open_client(library, "bob")
    for client in ada, bob:
        client.subscribe("private-team")
    ada.run("() => { for (let n = 0; n < 50; n++) pusher.channel('private-team').trigger('client-n', {n}) }")
    ada.wait_until("errors.length > 0")
    assert ada.run("errors[0].code") == 4301
    some_sdk.trigger("private-team", "done", {})
    bob.wait_for("done")
    assert bob.events()[:10] == [("client-n", {"n": n}) for n in range(10)]
    assert len(bob.events()) < 50
    assert ada.run("pusher.connection.state") == "connected"


def test_client_event_on_a_public_channel_is_refused(library, open_client):
    ada = open_client(library)
    ada.subscribe("orders")
    ada.run("pusher.send_event('client-typing', {}, 'orders')")
    ada.wait_until("errors.length > 0")
    assert "only supported on private and presence channels" in ada.run("errors[0].message")
