"""An aiohttp application with a hub inside: what the README shows, with an authorizer and an answer to bad input."""

from aiohttp import web

from relay import App, Hub, Member, UsageError
from relay_transports.aiohttp import HUB, setup


async def authorize(request: web.Request, channel: str) -> Member | bool:
    """Say who asks to join a private or presence channel, or False to refuse."""
    user = request.headers.get("X-User", "")  # your own session or token goes here
    if not user or channel == "private-staff":
        return False
    return Member(id=user, info={"name": user.title()})


async def pay(request: web.Request) -> web.Response:
    try:
        receipt = await request.app[HUB].trigger(
            "pay_channel",
            "pay_notify",
            {"message": "pay success!"},
            socket_id=request.headers.get("X-Socket-ID"),  # the page's own connection, which is left out
        )
    except UsageError as error:  # no socket id at all: the page's mistake
        raise web.HTTPBadRequest(text=str(error)) from None
    return web.json_response({"delivered": receipt.delivered})


def build() -> web.Application:
    hub = Hub(App(id="1001", key="app-key", secret="app-secret", client_events=True))
    app = web.Application()
    app.router.add_post("/pay", pay)
    setup(app, hub, authorize=authorize)
    return app


if __name__ == "__main__":
    web.run_app(build(), host="127.0.0.1", port=6001)
