"""asyncpusher, told what to do and telling what happens as JSON, one value a line.

python asyncpusher_driver.py KEY OPTIONS SITE USER
"""

import asyncio
import json
import sys

import aiohttp
from asyncpusher import Pusher

HEARD = (
    *("paid", "spared", "last", "client-typing", "pusher:cache_miss", "pusher_internal:subscription_succeeded"),
    *("pusher_internal:member_added", "pusher_internal:member_removed", "pusher_internal:subscription_count"),
)


def tell(**value):
    print(json.dumps(value), flush=True)


class Session:
    """asyncpusher under the names of the run."""

    def __init__(self, key, options, site, user):
        self._site, self._user = site, user
        self._pusher = Pusher(key, channel_authenticator=self._authorize, **options)
        self._pusher.connection.bind("pusher:connection_established", self._connected)
        self._pusher.connection.bind("pusher:error", self._error)

    async def connect(self):
        await self._pusher.connect()

    async def _authorize(self, data):
        async with (
            aiohttp.ClientSession(headers={"X-User": self._user}) as http,
            http.post(f"{self._site}/pusher/auth", data=data) as answer,
        ):
            return await answer.json()

    async def _connected(self, data):
        tell(told="state", state="connected", socket_id=data["socket_id"])

    async def _error(self, data):
        tell(told="error", code=data["code"], message=data["message"])

    async def subscribe(self, name):
        channel = await self._pusher.subscribe(name)
        for event in HEARD:
            channel.bind(event, self._listener(name, event.replace("pusher_internal:", "pusher:")))

    @staticmethod
    def _listener(name, event):
        async def heard(data):
            tell(told="event", channel=name, event=event, data=data)
            if event == "pusher:subscription_succeeded" and name.startswith("presence-"):
                tell(told="members", members=data["presence"]["hash"], count=data["presence"]["count"])

        return heard

    async def members(self, name):
        """Told when it subscribed: asyncpusher keeps no list."""

    async def unsubscribe(self, name):
        await self._pusher.unsubscribe(name)

    async def trigger(self, name, event, data):
        await self._pusher.channels[name].trigger({"event": event, "data": data})

    async def disconnect(self):
        await self._pusher.disconnect()
        tell(told="state", state="disconnected", socket_id=None)


async def main(key, options, site, user):
    session = Session(key, json.loads(options), site, user)
    connecting = asyncio.create_task(session.connect())
    while line := await asyncio.to_thread(sys.stdin.readline):
        said = json.loads(line)
        await getattr(session, said["do"])(*said["with"])
    connecting.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
