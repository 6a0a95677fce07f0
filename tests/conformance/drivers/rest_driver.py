"""Relay's own REST client: one call a line in, one answer out.

python rest_driver.py OPTIONS
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from relay import App, Event, Member, User
from relay.errors import InvalidWebhook
from relay_transports.aiohttp import RestClient


def shown(answer: object) -> Any:
    """As the HTTP API says it: what was not asked for is left out."""
    found = msgspec.to_builtins(answer)
    return {key: value for key, value in found.items() if value is not None} if isinstance(found, dict) else found


class Sdk:
    """The client under the names of the run."""

    def __init__(self, client: RestClient) -> None:
        self._client = client

    async def trigger(self, channels: list[str], event: str, data: object, spared: str | None) -> Any:
        await self._client.trigger(channels, event, data, socket_id=spared)
        return {}

    async def trigger_batch(self, batch: Sequence[Mapping[str, Any]]) -> Any:
        events = [Event(one["channel"], one["name"], one["data"], socket_id=one.get("socket_id")) for one in batch]
        await self._client.trigger_batch(events)
        return {}

    async def send_to_user(self, user: str, event: str, data: object) -> Any:
        await self._client.send_to_user(user, event, data)
        return {}

    async def terminate(self, user: str) -> Any:
        await self._client.terminate_user_connections(user)
        return {}

    async def channels(self, prefix: str, info: Sequence[str]) -> Any:
        found = await self._client.channels(prefix=prefix, info=info)
        return {"channels": {name: shown(one) for name, one in found.items()}}

    async def channel(self, name: str, info: Sequence[str]) -> Any:
        return shown(await self._client.channel(name, info=info))

    async def users(self, channel: str) -> Any:
        return {"users": [{"id": member.id} for member in await self._client.members(channel)]}

    async def authorize(self, socket_id: str, channel: str, member: Mapping[str, Any] | None) -> Any:
        who = Member(member["user_id"], member["user_info"]) if member else None
        return self._client.authorize_channel(socket_id, channel, who)

    async def authenticate(self, socket_id: str, user: Mapping[str, Any]) -> Any:
        return self._client.authenticate_user(socket_id, User(user["id"], user.get("user_info")))

    async def webhook(self, headers: Mapping[str, str], body: str) -> Any:
        try:
            return [shown(event) for event in self._client.webhook(headers, body.encode()).events]
        except InvalidWebhook:
            return None


async def main(options: dict[str, Any]) -> None:
    trust = options["authority"]
    context = ssl.create_default_context(cafile=trust) if trust else True
    async with RestClient(App(**options["app"]), options["url"], ssl=context) as client:
        sdk = Sdk(client)
        while line := await asyncio.to_thread(sys.stdin.readline):
            said = json.loads(line)
            try:
                answer = {"ok": await getattr(sdk, said["do"])(*said["with"])}
            except Exception as error:  # noqa: BLE001 - whatever it is, the run judges it
                answer = {"error": str(error) or repr(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
