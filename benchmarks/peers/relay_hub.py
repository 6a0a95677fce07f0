"""Relay: the hub in an aiohttp application, publishing as its users do."""

# Requires: uvloop aiohttp msgspec anyio
from __future__ import annotations

from collections.abc import Awaitable

from aiohttp import web

from benchmarks.peers.serving import PUSHER_ACKS, PUSHER_PATH, Peer, main, payload, pusher_hello
from relay import App, Hub, Member
from relay_transports.aiohttp import setup


async def authorize(request: web.Request, channel: str) -> Member | bool:
    """Everybody may come, as the user in the query."""
    return Member(request.query.get("user", "0")) if channel.startswith("presence-") else True


class Relay(Peer):
    """``await hub.trigger(...)``. Options: the channel that subscribers want, whether sockets may ask an authorizer in
    place of an auth endpoint (which keeps their request alive), and the fields of App.
    """

    title = "Relay"
    acks = PUSHER_ACKS
    channels = True

    def __init__(self, channel: str = "bench", *, authorizer: bool = False, **options: object) -> None:
        self.path = PUSHER_PATH + "&user={i}"
        self.hello = pusher_hello(channel)
        self._authorize = authorize if authorizer else None
        fields = {"client_events": True, "client_event_rate": 1_000_000, "max_members": 1_000_000, **options}
        self.hub = Hub(App(id="1", key="key", secret="secret", **fields))  # type: ignore[arg-type]  # checked by App

    async def start(self) -> int:
        """Listen; returns the port."""
        application = web.Application()
        setup(application, self.hub, authorize=self._authorize)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        return int(runner.addresses[0][1])

    def lost(self) -> int:
        """Events that slow subscribers lost."""
        return self.hub.stats().lost

    def publish(self, channel: str, stamp: int) -> Awaitable[object]:
        """One event to every subscriber."""
        return self.hub.trigger(channel, "tick", payload(stamp))


if __name__ == "__main__":
    main(Relay)
