"""`relay_server.pusher_js` are options that pusher-js takes as they are, and `relay_server.env` fits the npm SDK."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pusher import Pusher

JS = Path(__file__).parents[1] / "e2e" / "js"
CLIENT = """
import Pusher from "pusher-js";
const [key, options] = process.argv.slice(1);
const orders = new Pusher(key, JSON.parse(options)).subscribe("orders");
orders.bind("pusher:subscription_succeeded", () => console.log("subscribed"));
orders.bind("paid", (data) => { console.log(data.id); process.exit(); });
"""
SDK = """
import Pusher from "pusher";
await Pusher.forURL(process.env.PUSHER_URL).trigger("orders", "paid", {id: 7});
"""


@pytest.fixture
def node(require):
    require(JS / "node_modules", "make setup")
    command = [str(require("node", "apt-get install nodejs")), "--input-type=module", "-e"]

    def run(program: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, program, *arguments], cwd=JS, env=os.environ | env, stdout=subprocess.PIPE, text=True
        )

    return run


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.strip()


def test_pusher_js_connects_with_the_options(relay_server, node):
    with node(CLIENT, relay_server.app.key, json.dumps(relay_server.pusher_js)) as client:
        told = lines(client)
        assert next(told) == "subscribed"
        Pusher(**relay_server.pusher).trigger("orders", "paid", {"id": 7})
        assert next(told) == "7"


def test_the_npm_sdk_takes_the_url_of_the_environment(relay_server, node):
    with node(SDK, **relay_server.env) as program:
        assert program.wait(30) == 0
    assert relay_server.published("orders", "paid")[0].data == {"id": 7}
