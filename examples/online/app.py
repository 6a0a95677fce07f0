"""Who is online: an aiohttp application that knows which of its users are there, and when the others were last seen."""

from datetime import UTC, datetime

from aiohttp import web

from relay import App, Hub, Member
from relay.facts import UserOnline, UserStatus
from relay_transports.aiohttp import HUB, setup

LAST_SEEN = web.AppKey("last_seen", dict[str, datetime | None])  # stands for your database; None means online


async def authorize(request: web.Request, channel: str) -> Member | bool:
    """Say who asks to join; your own session or token goes here."""
    user = request.headers.get("X-User", "")
    return Member(id=user) if user and channel.startswith("presence-") else False


async def online(request: web.Request) -> web.Response:
    last_seen = request.app[LAST_SEEN]
    return web.json_response(
        {
            "online": sorted(user for user, when in last_seen.items() if when is None),
            "away": {user: when.isoformat() for user, when in last_seen.items() if when is not None},
        }
    )


async def in_room(request: web.Request) -> web.Response:
    members = await request.app[HUB].members("presence-" + request.match_info["room"])
    return web.json_response([member.id for member in members])


def build(hub: Hub) -> web.Application:
    app = web.Application()
    app[LAST_SEEN] = {}

    @hub.on(UserStatus)
    async def note(fact: UserStatus) -> None:
        here = isinstance(fact, UserOnline)
        app[LAST_SEEN][fact.user_id] = None if here else datetime.fromtimestamp(fact.time, UTC)

    app.router.add_get("/online", online)
    app.router.add_get("/rooms/{room}", in_room)
    setup(app, hub, authorize=authorize)
    return app


if __name__ == "__main__":
    web.run_app(build(Hub(App(id="1001", key="app-key", secret="app-secret"))), host="127.0.0.1", port=6001)
