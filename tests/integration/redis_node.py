"""A node in a process of its own, to be killed: `python -m tests.integration.redis_node URL`, told what to do by lines.

`join CHANNEL USER` and `leave USER` are answered by `done`; once it runs it says `ready`.
"""

import sys

import anyio
import msgspec

from relay import Hub
from relay.cluster.redis import RedisCluster, RedisSettings
from tests.unit.client import APP, Socket, arrive


async def main(url: str, settings: RedisSettings) -> None:
    sockets: dict[str, Socket] = {}
    async with Hub(APP, cluster=RedisCluster(url, settings)) as hub:
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


anyio.run(main, sys.argv[1], msgspec.json.decode(sys.argv[2], type=RedisSettings))
