"""A client that comes back asks for its channels and its user again, whatever its auth endpoint says meanwhile."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from relay import Member, UsageError, User
from relay.client import Backoff, ServerError, Settings, SigninRefused, State, SubscriptionRefused
from relay.testing import Kit
from relay.testing.asserting import AssertingChannel, AssertingClient

pytestmark = pytest.mark.every_loop

USER = "the user"
NEWS, TEAM, CREW, ROOM = "news", "private-team", "private-crew", "presence-room"
EVERY_SECOND = Backoff(first=1, most=1)


@dataclass
class Endpoint:
    """An auth endpoint: signs, or raises what `trouble` holds for a channel or the user."""

    relay: Kit
    trouble: dict[str, Exception] = field(default_factory=dict)
    asked: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When it was asked for what."""

    async def authorize(self, socket_id: str, channel: str, member: Member | None) -> Mapping[str, str]:
        self.answer(channel)
        return self.relay.hub.authorize_channel(socket_id, channel, member)

    async def authenticate(self, socket_id: str, user: Member | None) -> Mapping[str, str]:
        self.answer(USER)
        assert user is not None
        return self.relay.hub.authenticate_user(socket_id, User(user.id))

    def answer(self, what: str) -> None:
        self.asked[what].append(self.relay.clock.now())
        if what in self.trouble:
            raise self.trouble[what]

    async def connect(self, reconnect: Backoff = EVERY_SECOND) -> AssertingClient:
        return await self.relay.connect(
            settings=Settings(authorize=self.authorize, authenticate=self.authenticate, reconnect=reconnect)
        )


@pytest.fixture
def endpoint(relay: Kit) -> Endpoint:
    return Endpoint(relay)


def answered(channel: str, status: int) -> SubscriptionRefused:
    return SubscriptionRefused(channel, f"auth endpoint answered {status}", status)


def user_answered(status: int) -> SigninRefused:
    return SigninRefused(f"user auth endpoint answered {status}", status)


async def enter(client: AssertingClient, *names: str) -> list[AssertingChannel]:
    return [await client.subscribe(name, user_id="ada" if name == ROOM else None) for name in names]


async def come_back(relay: Kit, client: AssertingClient, *, within: float = 1) -> None:
    """Lose the connection, and get a new one a second later."""
    relay.lose_node()
    relay.restore_node()
    await relay.clock.advance(within)
    assert client.connection.state is State.CONNECTED


def errors_of(client: AssertingClient) -> list[ServerError]:
    errors: list[ServerError] = []
    client.connection.bind("error", errors.append)
    return errors


def refusals_of(channel: AssertingChannel) -> list[SubscriptionRefused]:
    refusals: list[SubscriptionRefused] = []
    channel.bind("pusher:subscription_error", lambda event: refusals.append(event.data))
    return refusals


async def test_an_authorizer_that_raises_refuses_that_channel_alone(relay, endpoint, caplog):
    client = await endpoint.connect()
    team, *others = await enter(client, TEAM, NEWS, CREW, ROOM)
    refusals, errors = refusals_of(team), errors_of(client)
    endpoint.trouble[TEAM] = ValueError("no such team")
    await come_back(relay, client)
    assert [channel.subscribed for channel in (team, *others)] == [False, True, True, True]
    assert refusals == [team.refusal]
    assert str(team.refusal) == f"subscription to {TEAM} refused: asking for authorization failed: ValueError"
    assert errors == [ServerError("asking for authorization failed: ValueError", None)]
    assert caplog.records[-1].exc_info[1] is endpoint.trouble[TEAM]
    assert TEAM not in client.channels


@pytest.mark.parametrize("status", [0, 429, 500, 503])
async def test_what_an_endpoint_cannot_answer_for_the_time_being_is_asked_again_until_it_does(relay, endpoint, status):
    client = await endpoint.connect()
    team, news = await enter(client, TEAM, NEWS)
    refusals = refusals_of(team)
    endpoint.trouble[TEAM] = answered(TEAM, status)
    await come_back(relay, client)
    for seconds in range(5):
        assert (team.subscribed, news.subscribed) == (False, True)
        assert len(endpoint.asked[TEAM]) == 2 + seconds
        await relay.clock.advance(1)
    del endpoint.trouble[TEAM]
    await relay.clock.advance(1)
    assert (team.subscribed, team.refusal, refusals) == (True, None, [])
    await relay.hub.trigger(TEAM, "paid", 1)
    assert (await team.expect("paid")).data == 1
    asked = len(endpoint.asked[TEAM])
    await relay.clock.advance(60)
    assert len(endpoint.asked[TEAM]) == asked


async def test_the_pauses_grow_as_the_backoff_says(relay, endpoint):
    client = await endpoint.connect(Backoff(first=1, most=16))
    await enter(client, TEAM)
    endpoint.trouble[TEAM] = answered(TEAM, 500)
    await come_back(relay, client, within=2)
    await relay.clock.advance(200)
    times = endpoint.asked[TEAM][1:]
    pauses = [after - before for before, after in pairwise(times)]
    assert all(1 <= pause <= min(16, 2 ** (attempt + 1)) for attempt, pause in enumerate(pauses))
    assert max(pauses) > 8
    assert len(set(pauses)) == len(pauses)


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_an_endpoint_that_says_no_is_not_asked_again(relay, endpoint, status):
    client = await endpoint.connect()
    team, room = await enter(client, TEAM, ROOM)
    refusals = refusals_of(team)
    endpoint.trouble[TEAM] = answered(TEAM, status)
    await come_back(relay, client)
    assert (team.subscribed, room.subscribed) == (False, True)
    assert (refusals, team.refusal) == ([endpoint.trouble[TEAM]], endpoint.trouble[TEAM])
    await relay.clock.advance(60)
    assert len(endpoint.asked[TEAM]) == 2


async def test_a_channel_that_was_left_meanwhile_is_not_asked_for_again(relay, endpoint):
    client = await endpoint.connect()
    (team,) = await enter(client, TEAM)
    endpoint.trouble[TEAM] = answered(TEAM, 503)
    await come_back(relay, client)
    await team.unsubscribe()
    endpoint.trouble.clear()
    await relay.clock.advance(60)
    assert len(endpoint.asked[TEAM]) == 2
    assert relay.hub.stats().channels == 0


async def test_a_connection_lost_while_an_endpoint_is_away_starts_over_and_asks_no_more_than_once_a_second(
    relay, endpoint
):
    client = await endpoint.connect()
    (team,) = await enter(client, TEAM)
    endpoint.trouble[TEAM] = answered(TEAM, 503)
    for _ in range(3):
        await come_back(relay, client)
    before = len(endpoint.asked[TEAM])
    await relay.clock.advance(10)
    assert len(endpoint.asked[TEAM]) == before + 10
    endpoint.trouble.clear()
    await relay.clock.advance(1)
    assert team.subscribed


async def test_a_connection_that_breaks_before_it_could_ask_refuses_nothing(relay, endpoint):
    client = await endpoint.connect()
    channels = await enter(client, NEWS, TEAM, ROOM)
    errors = errors_of(client)
    unbind = client.connection.bind("connected", lambda _: relay.lose_node())
    relay.lose_node()
    relay.restore_node()
    await relay.clock.advance(1)
    unbind()
    assert [channel.state.value for channel in channels] == ["pending"] * 3
    relay.restore_node()
    await relay.clock.advance(10)
    assert [channel.subscribed for channel in channels] == [True] * 3
    assert errors == []


async def test_a_sign_in_that_cannot_be_answered_is_asked_for_again_and_the_users_channel_waits_for_it(relay, endpoint):
    client = await endpoint.connect()
    mine, (team,) = await client.signin("ada"), await enter(client, TEAM)
    endpoint.trouble[USER] = user_answered(503)
    await come_back(relay, client)
    for seconds in range(3):
        assert (mine.state.value, team.subscribed) == ("pending", True)
        assert len(endpoint.asked[USER]) == 2 + seconds
        await relay.clock.advance(1)
    endpoint.trouble.clear()
    await relay.clock.advance(1)
    assert mine.subscribed
    await relay.hub.send_to_user("ada", "notice", "hi")
    assert (await mine.expect("notice")).data == "hi"


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (user_answered(403), "user auth endpoint answered 403"),
        (ValueError("who?"), "asking for authorization failed: ValueError"),
    ],
    ids=["403", "it raises"],
)
async def test_a_sign_in_that_is_refused_is_told_once_and_not_asked_for_again(relay, endpoint, trouble, told):
    client = await endpoint.connect()
    mine, (team, crew) = await client.signin("ada"), await enter(client, TEAM, CREW)
    errors = errors_of(client)
    endpoint.trouble |= {USER: trouble, CREW: answered(CREW, 503)}
    await come_back(relay, client)
    await relay.clock.advance(5)
    assert (mine.state.value, team.subscribed, crew.state.value) == ("refused", True, "pending")
    assert len(endpoint.asked[USER]) == 2
    assert [error.message for error in errors].count(told) == 1
    endpoint.trouble.clear()
    assert (await client.signin("ada")).subscribed


async def test_a_sign_in_whose_endpoint_failed_is_the_callers_to_try_again(relay, endpoint):
    client = await endpoint.connect()
    endpoint.trouble[USER] = user_answered(503)
    with pytest.raises(SigninRefused, match="503"):
        await client.signin("ada")
    endpoint.trouble.clear()
    await come_back(relay, client)
    assert len(endpoint.asked[USER]) == 1
    assert (await client.signin("ada")).subscribed


# A ready answer of an auth endpoint


async def test_a_ready_auth_is_for_its_connection_and_the_next_one_asks_the_authorizer(relay, endpoint):
    client = await endpoint.connect()
    auth = relay.hub.authorize_channel(client.socket_id, ROOM, Member("ada", {"name": "Ada"}))
    room = await client.subscribe(ROOM, auth=auth)
    assert endpoint.asked[ROOM] == []
    await come_back(relay, client)
    assert room.subscribed
    assert room.members.me == Member("ada", {"name": "Ada"})
    assert len(endpoint.asked[ROOM]) == 1


async def test_a_channel_is_entered_as_one_user_only(relay):
    client = await relay.connect()
    room = await client.subscribe(ROOM, user_id="ada")
    assert await client.subscribe(ROOM, user_id="ada") is room
    assert await client.subscribe(ROOM) is room
    with pytest.raises(UsageError, match="presence-room is subscribed as user 'ada', so not as 'bob' too"):
        await client.subscribe(ROOM, user_id="bob")
    assert room.subscribed
