"""How Relay grows, on paper: what the unit costs of ``units.toml`` make of a number of nodes and connections.

``python -m benchmarks.capacity`` writes the tables of ``docs/explanation/growth.md`` and its plot; ``--results FILE``
takes unit costs from a run of the benchmark. Nothing is measured here, and nothing is random but where members of rooms
are, which a seed decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from benchmarks.harness.results import Results

UNITS: Final = Path(__file__).with_name("units.toml")
_ROOMS: Final = 20_000
"""So many sizes of rooms stand for all."""
_MICRO: Final = 1e6
_SPARE: Final = 0.5
"""The part of a core that is left for clients who come back all at once."""


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cost, and where it is from."""

    value: float
    scenario: str = ""
    case: str = ""
    why: str = ""


def units(results: Results | None = None, file: Path = UNITS) -> dict[str, float]:
    """Every unit cost, by name; those that ``results`` measured are taken from there."""
    found = {}
    for name, unit in msgspec.toml.decode(file.read_bytes(), type=dict[str, Unit]).items():
        peer = "relay_node" if unit.scenario == "cluster" else "relay_hub"
        measured = results.median(unit.scenario, unit.case, peer) if results and unit.scenario else None
        found[name] = unit.value if measured is None else measured
    return found


@dataclass(frozen=True)
class Load:
    """What clients do. Everybody is in a channel of their own and in one room; sizes of rooms are a Pareto's."""

    session_seconds: float = 1800.0
    """How long a client stays."""
    own_every: float = 600.0
    """Seconds between two events to one client alone."""
    said_every: float = 600.0
    """Seconds between two events that one member causes in its room."""
    most_events: float = 1.0
    """Events a second that a room has at most, however large."""
    ping_every: float = 120.0
    """Seconds of silence before a ping (``activity_timeout``)."""
    smallest: int = 2
    largest: int = 100_000
    shape: float = 1.2
    presence_up_to: int = 100
    """Rooms with more members have no roster: ``max_members`` is 100 unless it is set."""


@dataclass(frozen=True)
class Setup:
    """What there is: nodes with one core each, and Redis servers that share the channels."""

    nodes: int
    connections: int
    shards: int = 1


@dataclass(frozen=True)
class Rooms:
    """All rooms, each figure for one connection: what members say, hear, and how many nodes it goes through."""

    events: float
    deliveries: float
    receipts: float
    """Envelopes that nodes other than the publisher's take in."""
    presence: float
    """The part of connections whose room has a roster."""


@dataclass(frozen=True)
class Use:
    """How much of each resource is used: parts of one core, bytes, bytes a second."""

    node_cpu: float
    node_memory: float
    redis_cpu: float
    """Of the busiest Redis server, which uses one core for commands."""
    redis_memory: float
    redis_network: float


def sizes(load: Load, number: int = _ROOMS) -> list[int]:
    """Sizes of rooms: the middles of equal parts of the distribution."""
    low, high = load.smallest**-load.shape, load.largest**-load.shape
    parts = ((at + 0.5) / number for at in range(number))
    return [round((low - part * (low - high)) ** (-1 / load.shape)) for part in parts]


def touched(size: int, nodes: int, random: Random) -> int:
    """How many nodes have a member of one room, where each member is on any node."""
    if size > 20 * nodes:
        return nodes
    return len({random.randrange(nodes) for _ in range(size)})


@cache
def rooms(load: Load, nodes: int, seed: int = 1) -> Rooms:
    """Put the members of each room on nodes, and count."""
    random = Random(seed)  # the same every time
    members = events = deliveries = receipts = presence = 0.0
    for size in sizes(load):
        rate = min(size / load.said_every, load.most_events)
        members += size
        events += rate
        deliveries += rate * size
        receipts += rate * (touched(size, nodes, random) - 1)  # a member publishes, so its node has it already
        presence += size if size <= load.presence_up_to else 0
    return Rooms(events / members, deliveries / members, receipts / members, presence / members)


def use(setup: Setup, load: Load, cost: Mapping[str, float], seed: int = 1) -> Use:
    """What this load takes of each resource, spread evenly over nodes and over servers of Redis."""
    room = rooms(load, setup.nodes, seed)
    people = setup.connections / setup.nodes
    own = 1 / load.own_every
    away = own * (setup.nodes - 1) / setup.nodes  # an event to one client is rarely published on the client's node
    churn = 1 / load.session_seconds
    alone = setup.nodes == 1
    receipts = 0.0 if alone else room.receipts + away
    coming = cost["connect"] + cost["subscribe"] + cost["leave"] * 2
    coming += room.presence * cost["join"] + (1 - room.presence) * cost["subscribe"]
    if alone:
        coming = cost["connect"] * 2  # without a directory elsewhere; two subscribes are little beside the handshake
    node = (
        (room.deliveries + own) * cost["deliver"]
        + receipts * cost["receive"]
        + (room.events + own) * cost["publish"]
        + cost["ping"] / load.ping_every
        + churn * coming
    )
    there = cost["redis_subscribe"] + room.presence * cost["redis_join"] + (1 - room.presence) * cost["redis_subscribe"]
    redis = (room.events + own + receipts) * cost["redis_copy"] + churn * (there + 2 * cost["redis_leave"])
    kept = cost["redis_subscribe_bytes"] * (2 - room.presence) + cost["redis_join_bytes"] * room.presence
    beats = setup.nodes * cost["redis_node"]  # leases of nodes are in one place
    return Use(
        node_cpu=people * node / _MICRO,
        node_memory=people * (cost["connection_bytes"] + cost["socket_bytes"]),
        redis_cpu=0.0 if alone else (setup.connections * redis / setup.shards + beats) / _MICRO,
        redis_memory=0.0 if alone else setup.connections * kept / setup.shards,
        redis_network=setup.connections * receipts * cost["event_bytes"] / setup.shards,
    )


def back(setup: Setup, load: Load, cost: Mapping[str, float], leaving: float = 1.0) -> dict[str, float]:
    """Seconds until a part of all clients, gone at once, are all back: by nodes and by Redis, half busy with it."""
    room = rooms(load, setup.nodes)
    coming = cost["connect"] + cost["subscribe"]
    coming += room.presence * cost["join"] + (1 - room.presence) * cost["subscribe"]
    there = cost["redis_subscribe"] + room.presence * cost["redis_join"] + (1 - room.presence) * cost["redis_subscribe"]
    there += 2 * cost["redis_leave"]
    gone = setup.connections * leaving
    return {
        "nodes": gone * coming / _MICRO / setup.nodes / _SPARE,
        "Redis": gone * there / _MICRO / setup.shards / _SPARE,
    }


GROWTH: Final[Sequence[Setup]] = [Setup(nodes, nodes * 100_000) for nodes in (1, 2, 5, 10, 20, 50, 100)]
FAR: Final = GROWTH[-1]


def choices(load: Load, cost: Mapping[str, float]) -> dict[str, Use]:
    """The largest setup, and what settings make of it."""
    sharded = replace(FAR, shards=16)
    batched = {**cost, "deliver": cost["deliver"] * _BATCHED}
    return {
        "one Redis": use(FAR, load, cost),
        "Redis Cluster of 4": use(replace(FAR, shards=4), load, cost),
        "Redis Cluster of 16": use(sharded, load, cost),
        "16, and `flush_interval` of 5 ms": use(sharded, load, batched),
        "16, and rooms without rosters": use(sharded, replace(load, presence_up_to=0), cost),
        "16, and 200 nodes": use(replace(sharded, nodes=200), load, cost),
    }


_BATCHED: Final = 0.36
"""What waiting 5 ms leaves of the cost of a delivery at 20 events a second and channel (flush: 2.9 of 8.0 µs)."""

if __name__ == "__main__":
    from benchmarks.capacity_page import main  # it imports this module

    main()
