"""Presence channels as pusher-js shows them: `members.count`, `.each`, `.get`, `.me`, and who comes and goes."""

import pytest

ROOM = "presence-room"
MEMBERS = f"""() => {{
    const {{ members }} = pusher.channel("{ROOM}");
    const each = [];
    members.each((member) => each.push([member.id, member.info]));
    const [ada, eve] = ["ada", "eve"].map((id) => members.get(id));
    return {{ count: members.count, each: each.sort(), me: members.me, ada, eve }};
}}"""


def comings_and_goings(client):
    return [
        (one["event"].removeprefix("pusher:member_"), one["data"]["id"])
        for one in client.run("heard")
        if one["event"].startswith("pusher:member_")
    ]


@pytest.mark.parametrize(
    ("library", "endpoint"),
    [("8.6.0", "/pusher/auth"), ("8.6.0", "/auth/hub"), ("8.6.0", "/auth/pypi"), ("3.0.0", "/pusher/auth")],
)
def test_newcomer_sees_who_is_there(endpoint, library, open_client):
    ada, bob = (open_client(library, user, auth=endpoint) for user in ("ada", "bob"))
    for client in ada, bob:
        client.subscribe(ROOM)
    assert bob.run(MEMBERS) == {
        "count": 2,
        "each": [["ada", {"name": "Ada"}], ["bob", {"name": "Bob"}]],
        "me": {"id": "bob", "info": {"name": "Bob"}},
        "ada": {"id": "ada", "info": {"name": "Ada"}},
        "eve": None,
    }


def test_members_see_each_other_come_and_go(library, open_client):
    ada, bob = open_client(library, "ada"), open_client(library, "bob")
    ada.subscribe(ROOM)
    bob.subscribe(ROOM)
    assert ada.wait_for("pusher:member_added") == {"id": "bob", "info": {"name": "Bob"}}
    assert ada.run(MEMBERS)["count"] == 2
    assert comings_and_goings(bob) == []
    bob.page.close()
    assert ada.wait_for("pusher:member_removed")["id"] == "bob"
    assert ada.run(MEMBERS)["each"] == [["ada", {"name": "Ada"}]]


def test_user_with_several_sockets_is_one_member(library, open_client):
    bob, ada, ada_again = (open_client(library, user) for user in ("bob", "ada", "ada"))
    for client in bob, ada, ada_again:
        client.subscribe(ROOM)
    assert ada_again.run(MEMBERS)["count"] == 2
    ada.run(f"pusher.unsubscribe('{ROOM}')")
    for client in ada, bob:
        client.subscribe("done")  # the first is answered after the unsubscribe, the second after that
    assert comings_and_goings(bob) == [("added", "ada")]
    ada_again.run(f"pusher.unsubscribe('{ROOM}')")
    assert bob.wait_for("pusher:member_removed")["id"] == "ada"
    assert bob.run(MEMBERS)["count"] == 1


def test_newer_and_older_clients_share_a_room(open_client, sdk):
    old, new = open_client("3.0.0", "ada"), open_client("8.6.0", "bob")
    for client in old, new:
        client.subscribe(ROOM)
    old.wait_for("pusher:member_added")
    assert old.run(MEMBERS)["each"] == new.run(MEMBERS)["each"]
    assert sdk.users(ROOM) == {"users": [{"id": "ada"}, {"id": "bob"}]}
