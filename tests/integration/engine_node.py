"""A node in a process of its own, to be killed.

It is run as `python -m tests.integration.engine_node ENGINE URL SETTINGS [WEBHOOK]`.
`join CHANNEL USER`, `sign-in USER` and `leave USER` on its input are answered by `done`; once it runs it says `ready`.
It ends in order with its input. What happens it tells the receiver at WEBHOOK.
"""

import sys

import anyio
import msgspec

from relay import Hub, WebhookEndpoint
from relay.cluster.cluster import Cluster
from relay.cluster.nats import NatsCluster, NatsSettings
from relay.cluster.redis import RedisCluster, RedisSettings
from relay_transports.aiohttp import WebhookSender
from tests.unit.client import APP, Socket, arrive


def cluster_of(engine: str, url: str, settings: str) -> Cluster:
    if engine == "nats":
        return NatsCluster(url, msgspec.json.decode(settings, type=NatsSettings))
    return RedisCluster(url, msgspec.json.decode(settings, type=RedisSettings))


async def main(cluster: Cluster, *webhooks: str) -> None:
    sockets: dict[str, Socket] = {}
    app = msgspec.structs.replace(APP, webhooks=tuple(map(WebhookEndpoint, webhooks)))
    hub = Hub(app, cluster=cluster)
    hub.send_webhooks(WebhookSender())
    async with hub:
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


anyio.run(main, cluster_of(*sys.argv[1:4]), *sys.argv[4:])
