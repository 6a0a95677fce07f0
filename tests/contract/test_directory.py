"""The promises of `relay.cluster.directory.Directory`, for every directory there is.

One of one's own is put to the test by a subclass of `DirectoryContract` with a fixture `directories`: two nodes' ways
to one directory that is empty.
"""

from abc import ABC, abstractmethod
from functools import partial

import anyio
import msgspec
import pytest

from relay.cluster.directory import Directory, Full, Joined, Left, Occupancy, Remembered, Retention, Roster
from relay.cluster.local import LocalDirectory
from relay.protocol.messages import Identity
from tests.contract.asking import ask_in_order
from tests.property.engines import Pace, SlowDirectory

ADA, ADAS_PHONE = Identity("ada", msgspec.Raw(b'{"name":"Ada"}')), Identity("ada", msgspec.Raw(b'{"name":"Phone"}'))
BOB, EVE = Identity("bob"), Identity("eve", msgspec.Raw(b'{"e": "\xc3\xa9"}'))
ROOM, BUS = "presence-room", "cache-bus"
KEPT = Retention(ttl=60, max_channels=100, max_bytes=10_000)
Nodes = tuple[Directory, Directory]


async def join(
    directory: Directory,
    channel: str,
    socket_id: str,
    member: Identity | None = None,
    *,
    app: str = "1",
    most: int = 100,
) -> Joined:
    joined = await directory.join(app, channel, socket_id, member, max_members=most)
    assert isinstance(joined, Joined)
    return joined


def told(answer: Joined) -> tuple[bool, bool, int, Roster]:
    """First in the channel, first for the user, how many connections, and the roster."""
    return answer.first_in_channel, answer.first_for_user, answer.count, answer.roster


async def leave(directory: Directory, channel: str, socket_id: str, *, app: str = "1") -> tuple[bool, bool]:
    """Whether that was the last connection in the channel, and the user's last."""
    left = await directory.leave(app, channel, socket_id)
    return left.last_in_channel, left.last_for_user


async def remember(
    directory: Directory, channel: str, text: bytes, *, app: str = "1", now: float = 0, retention: Retention = KEPT
) -> int:
    return await directory.remember(app, channel, text, now=now, retention=retention)


async def recall(directory: Directory, channel: str, *, app: str = "1", now: float = 0) -> bytes | None:
    """The text alone."""
    remembered = await directory.recall(app, channel, now=now)
    return None if remembered is None else remembered.text


class DirectoryContract(ABC):
    """What the hub relies on."""

    @pytest.fixture
    @abstractmethod
    def directories(self) -> Nodes:
        """What to test."""

    async def test_joining_again_changes_nothing_and_is_first_of_nothing(self, directories):
        here, _ = directories
        assert told(await join(here, ROOM, "1.1", ADA))[:3] == (True, True, 1)
        assert told(await join(here, ROOM, "1.1", ADA))[:3] == (False, False, 1)
        assert await leave(here, ROOM, "1.1") == (True, True)

    async def test_steps_of_a_channel_rise_also_while_nobody_is_in_it(self, directories):
        here, there = directories
        steps = []
        for directory in (here, there, here):
            steps.append((await join(directory, ROOM, "1.1", ADA)).step)
            steps.append((await join(there, ROOM, "1.2", BOB)).step)
            steps.append((await directory.leave("1", ROOM, "1.2")).step)
            steps.append((await there.leave("1", ROOM, "1.1")).step)
        assert steps == sorted(set(steps))
        assert steps[0] > 0

    async def test_nobody_is_anywhere_at_first(self, directories):
        here, _ = directories
        assert await here.occupied("1", "") == {}
        assert await here.occupancy("1", "orders") == Occupancy()
        assert await here.roster("1", ROOM) == {}

    async def test_the_first_in_a_channel_is_told_so_and_everyone_how_many_there_are(self, directories):
        here, there = directories
        assert told(await join(here, "orders", "1.1")) == (True, False, 1, {})
        assert told(await join(there, "orders", "1.2")) == (False, False, 2, {})

    async def test_the_last_out_of_a_channel_is_told_so(self, directories):
        here, there = directories
        for node, socket_id in ((here, "1.1"), (there, "1.2")):
            await join(node, "orders", socket_id)
        assert await leave(here, "orders", "1.1") == (False, False)
        assert await leave(there, "orders", "1.2") == (True, False)
        assert await here.occupied("1", "") == {}

    async def test_a_users_first_and_last_connections_are_told_so_over_all_nodes(self, directories):
        here, there = directories
        assert (await join(here, ROOM, "1.1", ADA)).first_for_user
        assert not (await join(there, ROOM, "1.2", ADA)).first_for_user
        assert (await join(there, ROOM, "1.3", BOB)).first_for_user
        assert await leave(here, ROOM, "1.1") == (False, False)
        assert await leave(there, ROOM, "1.2") == (False, True)
        assert await leave(there, ROOM, "1.3") == (True, True)

    async def test_a_user_who_comes_back_is_first_again(self, directories):
        here, there = directories
        await join(here, ROOM, "1.1", ADA)
        await leave(here, ROOM, "1.1")
        assert told(await join(there, ROOM, "1.2", ADA)) == (True, True, 1, {"ada": ADA.info})

    async def test_the_roster_of_a_join_is_as_of_that_step_and_in_the_order_of_joining(self, directories):
        here, there = directories
        assert (await join(here, ROOM, "1.1", EVE)).roster == {"eve": EVE.info}
        assert (await join(there, ROOM, "1.2", BOB)).roster == {"eve": EVE.info, "bob": None}
        joined = await join(here, ROOM, "1.3", ADA)
        assert list(joined.roster.items()) == [("eve", EVE.info), ("bob", None), ("ada", ADA.info)]
        assert list((await there.roster("1", ROOM)).items()) == list(joined.roster.items())

    async def test_a_roster_that_was_given_stays_as_it_was(self, directories):
        here, there = directories
        first = (await join(here, ROOM, "1.1", ADA)).roster
        await join(there, ROOM, "1.2", BOB)
        assert list(first) == ["ada"]

    async def test_the_first_connections_info_stands_until_the_users_last_one_leaves(self, directories):
        here, there = directories
        await join(here, ROOM, "1.1", ADA)
        assert (await join(there, ROOM, "1.2", ADAS_PHONE)).roster == {"ada": ADA.info}
        await leave(here, ROOM, "1.1")
        assert await here.roster("1", ROOM) == {"ada": ADA.info}
        await leave(there, ROOM, "1.2")
        assert (await join(there, ROOM, "1.3", ADAS_PHONE)).roster == {"ada": ADAS_PHONE.info}

    async def test_leaving_where_one_is_not_is_nothing(self, directories):
        here, there = directories
        await join(here, ROOM, "1.1", ADA)
        for channel, socket_id in ((ROOM, "9.9"), ("nowhere", "1.1")):
            assert await leave(there, channel, socket_id) == (False, False)
        await leave(there, ROOM, "1.1")
        assert await leave(here, ROOM, "1.1") == (False, False)

    async def test_a_full_channel_lets_in_nobody_new_and_keeps_no_trace_of_who_tried(self, directories):
        here, there = directories
        await join(here, ROOM, "1.1", ADA, most=1)
        assert await there.join("1", ROOM, "1.2", BOB, max_members=1) == Full(1)
        assert await there.occupancy("1", ROOM) == Occupancy(1, 1)
        assert await leave(there, ROOM, "1.2") == (False, False)
        assert list(await here.roster("1", ROOM)) == ["ada"]

    async def test_a_full_channel_lets_in_another_connection_of_a_member(self, directories):
        here, there = directories
        await join(here, ROOM, "1.1", ADA, most=1)
        assert told(await join(there, ROOM, "1.2", ADA, most=1)) == (False, False, 2, {"ada": ADA.info})

    async def test_members_bound_no_channel_without_members(self, directories):
        here, _ = directories
        for number in range(3):
            await join(here, "orders", f"1.{number}", most=1)
        assert await here.occupancy("1", "orders") == Occupancy(3, 0)

    async def test_occupied_channels_are_found_by_prefix_with_their_counts(self, directories):
        here, there = directories
        await join(here, ROOM, "1.1", ADA)
        await join(there, ROOM, "1.2", ADA)
        await join(there, ROOM, "1.3", BOB)
        await join(here, "orders", "1.1")
        counts = {ROOM: Occupancy(3, 2), "orders": Occupancy(1, 0)}
        assert dict(await there.occupied("1", "")) == counts
        assert dict(await there.occupied("1", "presence-")) == {ROOM: counts[ROOM]}
        assert dict(await there.occupied("1", "presence-rooms")) == {}
        assert [await here.occupancy("1", name) for name in counts] == list(counts.values())

    async def test_apps_do_not_know_of_each_other(self, directories):
        here, there = directories
        await join(here, ROOM, "1.1", ADA)
        assert (await join(there, ROOM, "1.1", BOB, app="2")).roster == {"bob": None}
        assert await leave(there, ROOM, "1.1", app="2") == (True, True)
        assert list(await here.roster("1", ROOM)) == ["ada"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (("1", "room"), ("1", "ROOM")),
            (("1", "a.b"), ("1", "a,b")),
            (("1", "a"), ("1", "a=")),
            (("1", "2-a"), ("1-2", "a")),
            (("1:a", "b"), ("1", "a:b")),
            (("1", "a*"), ("1", "ab")),
            (("1", "é"), ("1", "e\u0301")),
        ],
    )
    async def test_names_are_opaque_and_never_meet(self, directories, one, other):
        here, there = directories
        await join(here, one[1], "1.1", app=one[0])
        assert (await join(there, other[1], "1.2", app=other[0])).first_in_channel
        assert await here.occupancy(*one) == await here.occupancy(*other) == Occupancy(1, 0)

    @pytest.mark.parametrize("prefix", ["a*", "a?", "[ab]", "a.", "a%"])
    async def test_a_prefix_is_opaque_too(self, directories, prefix):
        here, _ = directories
        await join(here, "ab", "1.1")
        assert dict(await here.occupied("1", prefix)) == {}

    @pytest.mark.parametrize("user_id", ["a b", "é", "a:b", "1", '"', "\\", "{}", "a\nb", "\u2028", "x" * 128])
    async def test_user_ids_are_opaque(self, directories, user_id):
        here, there = directories
        await join(here, ROOM, "1.1", Identity(user_id))
        assert await there.roster("1", ROOM) == {user_id: None}
        assert await leave(there, ROOM, "1.1") == (True, True)

    async def test_who_leaves_is_told_how_many_are_left_or_nothing_of_it(self, directories):
        here, there = directories
        for number in range(3):
            await join(here, "orders", f"1.{number}")
        left = [await there.leave("1", "orders", f"1.{number}") for number in (0, 0, 1, 2)]
        assert [one.step > 0 for one in left] == [True, False, True, True]
        assert [one.count for one in left] in ([2, None, 1, 0], [None] * 4)

    async def test_of_many_who_join_at_once_exactly_one_is_first(self, directories):
        joined: list[Joined] = []

        async def one(number: int) -> None:
            joined.append(await join(directories[number % 2], ROOM, f"1.{number}", [ADA, BOB][number % 3 % 2]))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
        assert sum(one.first_in_channel for one in joined) == 1
        assert sum(one.first_for_user for one in joined) == 2
        assert sorted(one.count for one in joined) == list(range(1, 21))

    async def test_of_many_who_leave_at_once_exactly_one_is_last(self, directories):
        left: list[Left] = []

        async def one(number: int) -> None:
            left.append(await directories[number % 2].leave("1", ROOM, f"1.{number}"))

        for number in range(20):
            await join(directories[number % 2], ROOM, f"1.{number}", [ADA, BOB][number % 3 % 2])
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
        assert sum(one.last_in_channel for one in left) == 1
        assert sum(one.last_for_user for one in left) == 2

    async def test_no_more_members_get_in_at_once_than_may(self, directories):
        answers: list[Joined | Full] = []

        async def one(number: int) -> None:
            member = Identity(f"u{number}")
            answers.append(await directories[number % 2].join("1", ROOM, f"1.{number}", member, max_members=5))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
        assert sum(isinstance(answer, Joined) for answer in answers) == 5
        assert await directories[0].occupancy("1", ROOM) == Occupancy(5, 5)

    async def test_a_join_and_a_leave_of_one_connection_take_effect_in_the_order_they_were_asked_for(self, directories):
        here, there = directories
        sockets = [f"1.{number}" for number in range(20)]
        calls = [
            call
            for socket_id in sockets
            for call in (partial(join, here, ROOM, socket_id, ADA), partial(here.leave, "1", ROOM, socket_id))
        ]
        await ask_in_order(*calls)
        assert await there.occupancy("1", ROOM) == Occupancy()

    async def test_what_was_remembered_last_is_recalled_on_every_node(self, directories):
        here, there = directories
        assert await recall(here, BUS) is None
        await remember(here, BUS, b"one")
        step = await remember(there, BUS, b'{"two":"\xc3\xa9\\u2028"}')
        for node in directories:
            assert await node.recall("1", BUS, now=10) == Remembered(b'{"two":"\xc3\xa9\\u2028"}', step, 60)

    async def test_it_is_recalled_until_its_time_is_over_and_remembering_begins_anew(self, directories):
        here, there = directories
        await remember(here, BUS, b"one", now=1000)
        await remember(there, BUS, b"two", now=1050)
        assert await recall(here, BUS, now=1109.5) == b"two"
        assert await recall(here, BUS, now=1110) is None

    async def test_steps_of_what_is_remembered_rise_also_when_it_was_forgotten(self, directories):
        here, there = directories
        little = Retention(ttl=1, max_channels=1, max_bytes=100)
        steps = []
        for now, node in enumerate([here, there, here, there]):
            steps.append(await remember(node, BUS, b"x", now=now, retention=little))
            await remember(node, "cache-other", b"x", now=now, retention=little)
            steps.append(await remember(node, BUS, b"x" * 1000, now=now, retention=little))
        assert steps == sorted(set(steps))
        assert steps[0] > 0

    async def test_remembering_takes_effect_in_the_order_it_was_asked_for(self, directories):
        here, there = directories
        steps: list[int] = []

        async def one(number: int) -> None:
            steps.append(await remember(here, BUS, b"%d" % number))

        await ask_in_order(*(partial(one, number) for number in range(20)))
        assert await recall(there, BUS) == b"19"
        remembered = await there.recall("1", BUS, now=0)
        assert remembered is not None
        assert remembered.step == max(steps)

    async def test_the_channel_remembered_longest_ago_makes_room(self, directories):
        here, there = directories
        few = Retention(ttl=60, max_channels=3, max_bytes=10_000)
        for name in ("cache-a", "cache-b", "cache-c", "cache-a", "cache-d"):
            await remember(here, name, b"x", retention=few)
        kept = [name for name in ("cache-a", "cache-b", "cache-c", "cache-d") if await recall(there, name)]
        assert kept == ["cache-a", "cache-c", "cache-d"]

    async def test_what_is_remembered_has_a_bound_in_bytes(self, directories):
        here, there = directories
        little = Retention(ttl=60, max_channels=100, max_bytes=1000)
        for name in ("cache-a", "cache-b", "cache-c"):
            await remember(here, name, b"x" * 400, retention=little)
        assert [await recall(there, name) for name in ("cache-a", "cache-b")] == [None, b"x" * 400]
        await remember(here, "cache-c", b"x" * 1000, retention=little)
        assert await recall(there, "cache-c") is None  # it would be an old event
        assert await recall(there, "cache-b") is not None

    async def test_apps_do_not_recall_each_others_events_nor_take_each_others_room(self, directories):
        here, there = directories
        one = Retention(ttl=60, max_channels=1, max_bytes=1000)
        await remember(here, BUS, b"one", retention=one)
        await remember(here, "cache-other", b"two", app="2", retention=one)
        assert await recall(there, BUS) == b"one"
        assert await recall(there, BUS, app="2") is None

    async def test_nobody_is_in_a_channel_because_something_is_remembered_for_it(self, directories):
        here, there = directories
        await remember(here, BUS, b"one")
        assert await there.occupied("1", "") == {}
        await join(here, BUS, "1.1")
        await leave(here, BUS, "1.1")
        assert await recall(there, BUS) == b"one"


@pytest.mark.every_loop
class TestLocal(DirectoryContract):
    @pytest.fixture
    def directories(self) -> Nodes:
        directory = LocalDirectory()
        return directory, directory


@pytest.mark.every_loop
class TestSlow(DirectoryContract):
    """The engine that the gate is tested with keeps the promises too."""

    @pytest.fixture
    def directories(self) -> Nodes:
        directory = SlowDirectory(Pace(before=(0, 2, 1), after=(1, 0, 3)))
        return directory, directory
