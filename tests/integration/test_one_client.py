"""One client over two transports: it does the same, and sends and receives the same bytes."""

import pytest

from tests.integration.scenarios import SCENARIOS
from tests.integration.worlds import WORLDS, inprocess_world

scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@scenarios
@pytest.mark.parametrize("world", WORLDS)
async def test_a_client_can(scenario, world):
    async with WORLDS[world]() as running:
        await scenario(running)
        await running.hub.settle()
        assert running.hub.check() == []


@scenarios
@pytest.mark.every_loop
async def test_a_client_in_process_can_on_every_loop(scenario):
    async with inprocess_world() as running:
        await scenario(running)


@scenarios
@pytest.mark.parametrize("other", ["socket", "tls"])
async def test_both_transports_carry_the_same_bytes(scenario, other):
    async with inprocess_world() as inprocess:
        await scenario(inprocess)
    async with WORLDS[other]() as socket:
        await scenario(socket)
    for direction in ("sent", "received"):
        assert frames(inprocess, direction) == frames(socket, direction)


def frames(world, direction):
    return [[text for way, text in client if way == direction] for client in world.frames]
