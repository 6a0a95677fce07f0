"""`examples/online/app.py`, asked over HTTP while its users come and go."""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from relay import App, Hub
from relay.testing import ManualClock
from tests.unit.client import arrive

EXAMPLE = Path(__file__).parents[2] / "examples" / "online" / "app.py"


@pytest.fixture
def hub():
    return Hub(App(id="1001", key="app-key", secret="app-secret"), clock=ManualClock())


@pytest.fixture
async def client(hub):
    spec = importlib.util.spec_from_file_location("online_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with TestClient(TestServer(module.build(hub))) as client:
        yield client


async def ask(client, path: str) -> Any:
    async with client.get(path) as answer:
        return await answer.json()


async def test_a_view_knows_who_is_online_who_is_away_and_since_when(hub, client):
    tab, other_tab, bob = [await arrive(hub) for _ in range(3)]
    for socket, user in ((tab, "ada"), (other_tab, "ada"), (bob, "bob")):
        await socket.subscribe("presence-lobby", user)
    await hub.settle()
    assert await ask(client, "/online") == {"online": ["ada", "bob"], "away": {}}
    assert await ask(client, "/rooms/lobby") == ["ada", "bob"]

    bob.disconnect()
    tab.disconnect()
    await hub.clock.advance(hub.apps[0].offline_grace)
    gone = datetime.fromtimestamp(hub.clock.time(), UTC).isoformat()
    assert await ask(client, "/online") == {"online": ["ada"], "away": {"bob": gone}}
    assert await ask(client, "/rooms/lobby") == ["ada"]


async def test_a_reload_of_the_page_is_no_news(hub, client):
    for _ in range(3):
        page = await arrive(hub)
        await page.sign_in("ada")
        page.disconnect()
        await hub.settle()
        assert await ask(client, "/online") == {"online": ["ada"], "away": {}}


async def test_users_who_are_there_when_the_hub_stops_are_seen_off(hub, client):
    await (await arrive(hub)).sign_in("ada")
    await hub.settle()
    hub.close()
    await hub.settle()
    assert (await ask(client, "/online"))["online"] == []
