"""The REST API of a hub, whatever HTTP server it is behind (protocol 6)."""

from __future__ import annotations

import msgspec

from relay.app import App
from relay.errors import BrokerError, HubClosed, RequestError
from relay.explain import Cause, explain_request, tell
from relay.hub import ChannelInfo, Hub
from relay.protocol import names, rest
from relay.protocol.rest import Call, Request, Response
from relay.receipts import Receipt


async def respond(hub: Hub, request: Request) -> Response:
    """Answer one request: 200 with a JSON object, or the documented status with one line of plain text."""
    try:
        call = understood(hub, request)
        return await _perform(hub, call)
    except RequestError as error:
        return rest.failure(error)
    except HubClosed:
        return rest.failure(RequestError(503, "Not accepting requests now"))
    except BrokerError:
        return rest.failure(RequestError(503, "The other nodes cannot be asked now: try again later"))


def understood(hub: Hub, request: Request) -> Call:
    """What ``request`` asks for; a hub with ``debug`` says more about one that proves nothing.

    Raises :class:`RequestError`.
    """
    now = hub.clock.time()
    try:
        return rest.parse(request, hub.app_of, now, hub.charge)
    except RequestError as error:
        explanation = explain_request(hub.apps, request, now) if hub.debug and error.status in (400, 401) else None
        if explanation is None or (error.status == 400 and explanation.cause is not Cause.WRONG_KEY):
            raise
        raise RequestError(error.status, tell(error.message, explanation)) from None


async def _perform(hub: Hub, call: Call) -> Response:
    match call:
        case rest.Trigger():
            return rest.ok(_triggered(call, await hub.publish(call.events, app=call.app)), call.accepted)
        case rest.GetTotals():
            return rest.ok(numbers(hub, call.app))
        case rest.ReadFacts():  # never ends, so it is no Response: see relay_transports.aiohttp.operations
            raise RequestError(501, "This server cannot stream facts")
        case rest.Terminate():
            terminated = await hub.terminate_user_connections(call.user_id, app=call.app)
            if terminated.remote == "unavailable":
                raise RequestError(503, "The other nodes cannot be told now: try again later")
            return rest.ok({})
        case _:
            return rest.ok(await _asked(hub, call))


async def _asked(
    hub: Hub, call: rest.ListChannels | rest.GetChannel | rest.GetUsers | rest.GetStats
) -> dict[str, object]:
    """What is known about channels."""
    match call:
        case rest.ListChannels():
            found = await hub.channels(prefix=call.prefix, info=call.info, app=call.app)
            return {"channels": {name: _counts(info) for name, info in found.items()}}
        case rest.GetChannel():
            info = await hub.channel(call.channel, info=call.info, app=call.app)
            return {"occupied": info.occupied, **_counts(info), **_cache(call, info)}
        case rest.GetUsers():
            members = await hub.members(call.channel, app=call.app)
            return {"users": [{"id": member.id} for member in members]}
        case rest.GetStats():
            return await _stats(hub, call)


def numbers(hub: Hub, app: App) -> dict[str, object]:
    """What ``app`` holds on this node right now, and what happened to it there; JSON names codes by strings."""
    return {
        "id": app.id,
        "stats": msgspec.structs.asdict(hub.stats(app=app)),
        "totals": msgspec.structs.asdict(hub.totals(app=app))
        | {"closed": {"none" if code is None else str(code): n for code, n in hub.totals(app=app).closed.items()}},
    }


def _triggered(call: rest.Trigger, receipts: list[Receipt]) -> dict[str, object]:
    """``{}`` unless counts were asked for; for a batch they are a list in the order of the request."""
    if not any(event.info for event in call.events):
        return {}
    if not call.batch:
        return {"channels": {name: channel.info for name, channel in receipts[0].channels.items()}}
    return {"batch": [next(iter(receipt.channels.values())).info for receipt in receipts]}


def _counts(info: ChannelInfo) -> dict[str, int]:
    counts = {"user_count": info.user_count, "subscription_count": info.subscription_count}
    return {name: count for name, count in counts.items() if count is not None}


def _cache(call: rest.GetChannel, info: ChannelInfo) -> dict[str, object]:
    """``cache`` where it was asked for and the channel has one; null when there is nothing in it (protocol 6.4)."""
    return {"cache": info.cache} if "cache" in call.info and names.is_cached(call.channel) else {}


async def _stats(hub: Hub, call: rest.GetStats) -> dict[str, object]:
    occupancy = await hub.occupancy(call.channel, app=call.app)
    return {
        "occupied": occupancy.subscriptions > 0,
        "user_count": occupancy.users,
        "connection_count": occupancy.subscriptions,
    }
