"""Cache channels: the last event that was published is there for whoever comes later (protocol 2.5)."""

import anyio
import pytest

from relay import App, Event, Hub
from relay.caching import CachedEvent
from relay.cluster.directory import Retention
from relay.cluster.local import LocalDirectory
from relay.facts import CacheMissed, ChannelOccupied, Fact, MemberAdded, Subscribed
from relay.protocol.events import check_event
from relay.testing import ManualClock
from tests.unit.client import ACK, ADDED, APP, Socket, arrive

pytestmark = pytest.mark.every_loop

MISS = "pusher:cache_miss"
KINDS = ["cache-bus", "private-cache-bus", "private-encrypted-cache-bus", "presence-cache-bus"]
NOT_CACHED = ["bus", "cache", "cachebus", "private-bus", "privatecache-bus", "presence-bus-cache-1", "a-cache-b"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def app() -> App:
    return APP


@pytest.fixture
def directory() -> LocalDirectory:
    return LocalDirectory()


@pytest.fixture
def hub(app, clock, directory) -> Hub:
    return Hub(app, clock=clock, directory=directory)


async def visit(hub: Hub, channel: str, user: str = "ada") -> Socket:
    """Somebody new who subscribed to the channel."""
    socket = await arrive(hub)
    await _subscribe(socket, channel, user)
    return socket


async def _subscribe(socket: Socket, channel: str, user: str = "ada") -> None:
    """Signed by hand, so that encrypted channels need no master key: the server does not look into them."""
    if channel.startswith("private-encrypted-"):
        socket.connection.authorize = _anybody
        await socket.say("pusher:subscribe", {"channel": channel})
    else:
        await socket.subscribe(channel, user if channel.startswith("presence-") else None)


async def _anybody(_channel: str) -> bool:
    return True


async def publish(hub: Hub, channel: str, event: str = "position", data: object = None) -> None:
    """As the REST API would: data of encrypted channels is no business of the server."""
    (app,) = hub.apps
    await hub.publish([check_event(app, Event(channel, event, {"lat": 1} if data is None else data))])


@pytest.mark.parametrize("channel", KINDS)
async def test_a_newcomer_gets_the_last_event_right_after_the_acknowledgement_byte_for_byte(hub, channel):
    async with hub:
        early = await visit(hub, channel)
        await publish(hub, channel, "old")
        await publish(hub, channel)
        live = early.frames()[-1]
        late = await visit(hub, channel, "bob")
        ack, replay = late.frames()
        assert ack.event == ACK
        assert replay.text == live.text
        assert replay.text == b'{"event":"position","channel":"%s","data":"{\\"lat\\":1}"}' % channel.encode()


@pytest.mark.parametrize("channel", KINDS)
async def test_without_one_it_gets_a_cache_miss(hub, channel):
    async with hub:
        ack, miss = (await visit(hub, channel)).frames()
        assert ack.event == ACK
        assert miss.text == b'{"event":"pusher:cache_miss","channel":"%s","data":"{}"}' % channel.encode()


@pytest.mark.parametrize("channel", NOT_CACHED)
async def test_other_channels_replay_nothing_and_miss_nothing(hub, directory, channel):
    async with hub:
        await hub.trigger(channel, "position", "")
        assert (await visit(hub, channel)).events() == [ACK]
        assert directory.remembered(APP.id) == (0, 0)


async def test_an_event_is_remembered_while_nobody_is_there_and_outlives_the_last_subscriber(hub):
    async with hub:
        await hub.trigger("cache-bus", "position", "1")
        for _ in range(2):
            socket = await visit(hub, "cache-bus")
            assert socket.events() == [ACK, "position"]
            await socket.unsubscribe("cache-bus")


async def test_whoever_subscribes_again_gets_it_again(hub):
    async with hub:
        await hub.trigger("cache-bus", "position", "1")
        socket = await visit(hub, "cache-bus")
        await socket.unsubscribe("cache-bus")
        await socket.subscribe("cache-bus")
        await hub.trigger("cache-bus", "position", "2")
        assert socket.events() == [ACK, "position", ACK, "position", "position"]


async def test_client_events_are_never_remembered(hub):
    async with hub:
        socket, other = [await visit(hub, "private-cache-bus") for _ in range(2)]
        await socket.say("client-position", {}, "private-cache-bus")
        assert other.events() == [ACK, MISS, "client-position"]
        assert (await visit(hub, "private-cache-bus")).events() == [ACK, MISS]


async def test_the_socket_that_an_event_spares_gets_it_when_it_subscribes(hub):
    async with hub:
        socket = await visit(hub, "cache-bus")
        await hub.trigger("cache-bus", "position", "", socket_id=socket.id)
        await socket.unsubscribe("cache-bus")
        await socket.subscribe("cache-bus")
        assert socket.events() == [ACK, MISS, ACK, "position"]


async def test_of_several_channels_each_one_remembers_its_own_frame(hub):
    async with hub:
        receipt = await hub.trigger(["cache-a", "b", "private-cache-c"], "paid", "")
        assert list(receipt.channels) == ["cache-a", "b", "private-cache-c"]
        for channel in ("cache-a", "private-cache-c"):
            assert (await visit(hub, channel)).frames()[-1].channel == channel


async def test_the_last_event_is_kept_for_the_apps_cache_ttl(clock):
    hub = Hub(App(id="1", key="k", secret="s", cache_ttl=60), clock=clock)
    async with hub:
        await hub.trigger("cache-bus", "position", "")
        await clock.advance(59)
        assert (await visit(hub, "cache-bus")).events() == [ACK, "position"]
        await clock.advance(1)
        assert (await visit(hub, "cache-bus")).events() == [ACK, MISS]


async def test_it_is_kept_for_half_an_hour_unless_the_app_says_otherwise(hub, clock):
    async with hub:
        await hub.trigger("cache-bus", "position", "")
        await clock.advance(1799)
        assert (await hub.channel("cache-bus", info=["cache"])).cache == CachedEvent("", 1)
        await clock.advance(1)
        assert (await hub.channel("cache-bus", info=["cache"])).cache is None


async def test_members_hear_of_a_newcomer_after_it_got_the_last_event(hub):
    async with hub:
        ada = await visit(hub, "presence-cache-bus", "ada")
        await hub.trigger("presence-cache-bus", "position", "")
        bob = await visit(hub, "presence-cache-bus", "bob")
        assert bob.events() == [ACK, "position"]
        assert ada.events() == [ACK, MISS, "position", ADDED]


async def test_a_miss_is_told_last_and_for_each_subscribe(hub):
    told: list[type[Fact]] = []
    for kind in (Subscribed, ChannelOccupied, MemberAdded, CacheMissed):
        hub.on(kind, lambda fact: told.append(type(fact)))
    async with hub:
        socket = await visit(hub, "presence-cache-bus")
        assert told == [Subscribed, ChannelOccupied, MemberAdded, CacheMissed]
        fact = list(hub.journal)[-1]
        assert fact == CacheMissed(app=APP.id, time=fact.time, socket_id=socket.id, channel="presence-cache-bus")
        await hub.trigger("presence-cache-bus", "position", "")
        await visit(hub, "presence-cache-bus")
        assert told.count(CacheMissed) == 1


async def test_info_gives_the_last_event_of_a_cache_channel_and_is_left_out_elsewhere(hub, clock):
    async with hub:
        await hub.trigger("cache-bus", "position", {"lat": 1})
        await clock.advance(60)
        bus = await hub.channel("cache-bus", info=["cache", "subscription_count"])
        assert (bus.occupied, bus.subscription_count, bus.cache) == (False, 0, CachedEvent('{"lat":1}', 1740))
        assert (await hub.channel("cache-bus")).cache is None
        assert (await hub.channel("bus", info=["cache"])).cache is None
        receipt = await hub.trigger("cache-bus", "position", "", info=["cache", "subscription_count"])
        assert receipt.info == {"cache-bus": {"subscription_count": 0}}
        await visit(hub, "cache-bus")
        assert (await hub.channels(info=["cache"]))["cache-bus"].cache is None


async def test_a_flood_of_names_costs_no_more_than_the_app_allows(clock, directory):
    app = App(id="1", key="k", secret="s", max_cached_channels=10, max_cached_bytes=1000)
    async with Hub(app, clock=clock, directory=directory) as hub:
        for number in range(1000):
            await hub.trigger(f"cache-{number}", "position", "")
        assert directory.remembered("1")[0] <= 10
        assert (await visit(hub, "cache-989")).events() == [ACK, MISS]
        assert (await visit(hub, "cache-999")).events() == [ACK, "position"]
        for number in range(1000):
            await hub.trigger(f"cache-{number}", "position", "x" * 300)
        assert directory.remembered("1")[1] <= 1000
        await hub.trigger("cache-999", "position", "x" * 1000)
        assert (await visit(hub, "cache-999")).events() == [ACK, MISS]  # not the one before it, which is old


async def test_many_subscribers_share_their_frames_and_newcomers_get_theirs(hub):
    async with hub:
        sockets = [await visit(hub, "cache-bus") for _ in range(20)]
        await hub.trigger("cache-bus", "n", 1)
        sockets += [await visit(hub, "cache-bus") for _ in range(20)]
        await hub.trigger("cache-bus", "n", 2)
        await hub.trigger("cache-bus", "n", 3)
        for number, socket in enumerate(sockets):
            seen = [frame.data for frame in socket.frames() if frame.event == "n"]
            assert seen == [1, 2, 3], number


class Overtaking(LocalDirectory):
    """The answer to the first `remember` is on its way until `arrived` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = anyio.Event()
        self._answers = 0

    async def remember(self, app: str, channel: str, text: bytes, *, now: float, retention: Retention) -> int:
        step = await super().remember(app, channel, text, now=now, retention=retention)
        self._answers += 1
        if self._answers == 1:
            await self.arrived.wait()
        return step


async def test_subscribers_end_with_the_event_that_is_remembered_though_answers_overtake_each_other():
    directory = Overtaking()
    async with Hub(APP, directory=directory) as hub, anyio.create_task_group() as tasks:
        socket, other = await visit(hub, "cache-bus"), await visit(hub, "cache-other")
        for number in (1, 2):
            tasks.start_soon(hub.trigger, "cache-bus", "n", number)
            await anyio.wait_all_tasks_blocked()
        await hub.trigger("cache-other", "n", 3)
        assert (socket.events(), other.events()) == ([ACK, MISS], [ACK, MISS, "n"])
        directory.arrived.set()
        await hub.settle()
        assert [frame.data for frame in socket.frames()] == [1, 2]
        assert (await visit(hub, "cache-bus")).frames()[-1].data == 2


async def test_a_stepped_hub_remembers_too(clock):
    hub = Hub(APP, clock=clock)
    hub.step()
    await hub.trigger("cache-bus", "position", "")
    assert (await visit(hub, "cache-bus")).events() == [ACK, "position"]
    hub.close()
