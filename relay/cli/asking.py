"""What ``relay tail``, ``channels``, ``trigger`` and ``stats`` ask of a hub."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from relay.cli import showing

if TYPE_CHECKING:
    from relay_transports.aiohttp import RestClient

_WATCH_SECONDS = 2.0


async def ask(client: RestClient, options: argparse.Namespace) -> None:
    """Ask, and show the answer. Raises what the client raises."""
    commands = {"tail": _tail, "channels": _channels, "trigger": _trigger, "stats": _stats}
    async with client:
        await commands[options.command](client, options)


async def _tail(client: RestClient, options: argparse.Namespace) -> None:
    async with aclosing(client.facts(types=options.types, channel=options.channel)) as facts:
        async for fact in facts:
            showing.fact(fact, as_json=options.json)


async def _channels(client: RestClient, options: argparse.Namespace) -> None:
    info = ("user_count", "subscription_count") if options.info else ()
    found = await client.channels(prefix=options.prefix, info=info)
    told = {
        name: {key: count for key in info if (count := getattr(channel, key)) is not None}
        for name, channel in sorted(found.items())
    }
    if options.json:
        showing.json(told)
    else:
        rows = [[name, *(str(counts.get(key, "")) for key in info)] for name, counts in told.items()]
        showing.table(["channel", *(key.replace("_", " ") for key in info)], rows)


async def _trigger(client: RestClient, options: argparse.Namespace) -> None:
    data = sys.stdin.read() if options.data == "-" else options.data
    receipt = await client.trigger(options.channel, options.event, data, socket_id=options.socket_id)
    if options.json:
        showing.json(msgspec.structs.asdict(receipt))
    else:
        showing.line(f"{options.event} was published to {options.channel}")


async def _stats(client: RestClient, options: argparse.Namespace) -> None:
    while True:
        found = await client.get("/stats")
        if options.json:
            showing.json(found)
        else:
            groups = (found["stats"], {name: n for name, n in found["totals"].items() if name != "closed"})
            now, ever = ([[name.replace("_", " "), str(count)] for name, count in group.items()] for group in groups)
            closed = [[f"closed with {code}", str(count)] for code, count in found["totals"]["closed"].items()]
            showing.table(["now", "count"], now)
            showing.table(["since the start", "count"], [*ever, *closed])
        if not options.watch:
            return
        await asyncio.sleep(_WATCH_SECONDS)
