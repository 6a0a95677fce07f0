"""Relay's own client over a WebSocket, told what to do and telling what happens as JSON, one value a line.

python relay_driver.py OPTIONS
"""

import asyncio
import json
import ssl
import sys
from typing import Any

from relay.client import Client, ReceivedEvent, SigninRefused, SubscriptionRefused
from relay_transports.aiohttp import connect


def tell(**value: object) -> None:
    print(json.dumps(value, default=str), flush=True)


class Session:
    """The client under the names of the run."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def watch(self) -> None:
        """Tell of the connection from now on; the first one is up already."""
        connection = self._client.connection
        connection.bind("state_change", lambda change: self._state(change.current.value))
        connection.bind("error", lambda error: tell(told="error", code=error.code, message=error.message))
        for name in "online", "offline":
            self._client.user.watchlist.bind(name, lambda event: tell(told=event.name, user_ids=event.user_ids))
        self._state("connected")

    def _state(self, state: str) -> None:
        state = "disconnected" if state == "failed" else state  # away for good, in the words of pusher-js
        tell(told="state", state=state, socket_id=self._client.connection.socket_id)

    async def subscribe(self, name: str) -> None:
        try:
            channel = await self._client.subscribe(name)
        except SubscriptionRefused as refused:
            return tell(told="error", code=refused.code, message=refused.message)
        tell(told="event", channel=name, event="pusher:subscription_succeeded")
        early = channel.queued()
        channel.bind_all(self._heard)
        channel.bind("pusher:cache_miss", self._heard)()  # which may have come already: the first to bind is told
        for event in early:
            self._heard(event)
        if channel.subscription_count is not None:
            count = {"subscription_count": channel.subscription_count}
            tell(told="event", channel=name, event="pusher:subscription_count", data=count)
        return None

    def _heard(self, event: ReceivedEvent) -> None:
        if event.channel is not None and event.channel.startswith("#"):
            return tell(told="user event", event=event.event, data=event.data)
        return tell(told="event", channel=event.channel, event=event.event, data=event.data, user_id=event.user_id)

    async def members(self, name: str) -> None:
        all_ = self._client.channels[name].members
        me = all_.me and {"id": all_.me.id, "info": all_.me.info}
        tell(told="members", members={one.id: one.info for one in all_}, me=me, count=len(all_))

    async def unsubscribe(self, name: str) -> None:
        await self._client.unsubscribe(name)

    async def trigger(self, name: str, event: str, data: object) -> None:
        await self._client.channels[name].trigger(event, data)

    async def signin(self) -> None:
        try:
            channel = await self._client.signin()
        except SigninRefused as refused:
            return tell(told="error", code=None, message=str(refused))
        channel.bind_all(self._heard)
        tell(told="signed in", user={"id": channel.name.removeprefix("#server-to-user-")})
        return tell(told="user event", event="pusher:subscription_succeeded", data=None)

    async def disconnect(self) -> None:
        await self._client.close()
        self._state("disconnected")


async def main(options: dict[str, Any]) -> None:
    authority = options.pop("authority")
    if authority:
        options["ssl"] = ssl.create_default_context(cafile=authority)
    try:
        client = await connect(**options)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run judges it
        return tell(told="error", code=getattr(error, "code", None), message=str(error))
    session = Session(client)
    session.watch()
    while line := await asyncio.to_thread(sys.stdin.readline):
        said = json.loads(line)
        await getattr(session, said["do"])(*said["with"])
    return None


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
