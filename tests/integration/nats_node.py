"""A node in a process of its own, to be killed: `python -m tests.integration.nats_node URL SETTINGS`, told by lines.

`join CHANNEL USER`, `sign-in USER` and `leave USER` are answered by `done`; once it runs it says `ready`.
"""

import sys

import anyio
import msgspec

from relay import Hub
from relay.cluster.nats import NatsCluster, NatsSettings
from tests.unit.client import APP, Socket, arrive


async def main(url: str, settings: NatsSettings) -> None:
    sockets: dict[str, Socket] = {}
    async with Hub(APP, cluster=NatsCluster(url, settings)) as hub:
        print("ready", flush=True)
        async for line in anyio.wrap_file(sys.stdin):
            match line.split():
                case ["join", channel, user]:
                    sockets[user] = await arrive(hub)
                    await sockets[user].subscribe(channel, user)
                case ["sign-in", user]:
                    sockets[user] = await arrive(hub)
                    await sockets[user].sign_in(user)
                case ["leave", user]:
                    sockets[user].disconnect()
                    await hub.settle()
            print("done", flush=True)


anyio.run(main, sys.argv[1], msgspec.json.decode(sys.argv[2], type=NatsSettings))
