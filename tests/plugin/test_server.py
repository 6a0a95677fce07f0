"""`relay_server`: for code that speaks HTTP, with settings ready for SDKs and environments. Also run by
`test_environments.py` wherever async tests can run.
"""

import os
import subprocess
import sys

import pytest
from pusher import Pusher

from relay import App, RelayError

PROGRAM = """
import asyncio, os
from relay_transports.aiohttp import RestClient

async def main():
    async with RestClient.from_url(os.environ["PUSHER_URL"]) as client:
        await client.trigger("orders", "paid", {"id": 7})

asyncio.run(main())
"""


@pytest.mark.parametrize("turn", ["first", "second"])
def test_the_sdk_publishes_to_it_and_what_it_published_is_recorded(relay_server, turn):
    sdk = Pusher(**relay_server.pusher)
    sdk.trigger(["orders", "audit"], "paid", {"id": 7}, socket_id="1.2")
    [published] = relay_server.published("audit")
    assert (published.event, published.data, published.socket_id) == ("paid", {"id": 7}, "1.2")
    assert relay_server.published("orders", "packed") == []


def test_the_sdk_encrypts_and_what_it_published_can_be_read(relay_server):
    Pusher(**relay_server.pusher).trigger("private-encrypted-vault", "paid", {"id": 7})
    [published] = relay_server.published("private-encrypted-vault")
    assert published.data == {"id": 7}


def test_the_sdk_asks_it(relay_server):
    assert Pusher(**relay_server.pusher).channels_info() == {"channels": {}}


def test_a_program_finds_it_by_the_environment(relay_server):
    subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | relay_server.env, check=True, timeout=30)
    assert relay_server.published("orders", "paid")[0].data == {"id": 7}


def test_the_environment_has_every_part_for_sdks_that_want_them_apart(relay_server):
    env = relay_server.env
    sdk = Pusher(env["PUSHER_APP_ID"], env["PUSHER_KEY"], env["PUSHER_SECRET"], ssl=env["PUSHER_SCHEME"] == "https",
                 host=env["PUSHER_HOST"], port=int(env["PUSHER_PORT"]))  # fmt: skip
    sdk.trigger("orders", "paid", "")
    assert len(relay_server.published()) == 1


def test_the_python_sdk_takes_the_url_with_host_and_port_beside_it(relay_server, monkeypatch):
    monkeypatch.setenv("PUSHER_URL", relay_server.url)
    Pusher.from_env(host=relay_server.host, port=relay_server.port).trigger("orders", "paid", "")
    assert len(relay_server.published()) == 1


def test_its_hub_can_be_looked_at_from_the_test(relay_server):
    assert relay_server.call(relay_server.hub.check) == []


@pytest.mark.parametrize("error", [ZeroDivisionError("by nothing"), TimeoutError("too late"), KeyboardInterrupt()])
def test_what_a_look_at_its_hub_raises_is_raised_in_the_test(relay_server, error):
    def look():
        raise error

    with pytest.raises(type(error)) as raised:
        relay_server.call(look)
    assert raised.value is error
    assert relay_server.call(relay_server.hub.check) == []


def test_a_server_that_was_stopped_says_so(relay_server):
    relay_server.stop()
    with pytest.raises(RelayError, match="does not run"):
        relay_server.call(relay_server.hub.check)


def test_servers_for_several_apps_stand_beside_each_other(relay_server_factory):
    shop, bank = (relay_server_factory(App(id=digit, key=f"key{digit}", secret="both")) for digit in "12")
    Pusher(**shop.pusher).trigger("orders", "paid", "")
    assert (len(shop.published()), len(bank.published())) == (1, 0)


class TestWithAnotherApp:
    @pytest.fixture
    def relay_app(self):
        return App(id="7", key="another", secret="another-secret")

    def test_it_is_served(self, relay_server):
        assert relay_server.url.startswith("http://another:another-secret@")
        assert relay_server.ws_url.endswith("/app/another")
        Pusher(**relay_server.pusher).trigger("orders", "paid", "")
