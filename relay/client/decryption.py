"""A client's encrypted channels: their secrets, and what becomes of events that cannot be read (protocol 8.3)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from relay.client.channel import SubscriptionRefused
from relay.errors import RelayError
from relay.protocol import encryption, messages
from relay.protocol.encryption import CannotDecrypt

if TYPE_CHECKING:
    from relay.client.channel import Channel
    from relay.client.client import Client
    from relay.client.runtime import Runtime
    from relay.protocol.received import ReceivedEvent

_log = logging.getLogger(__name__)

AskAgain = Callable[["Channel"], Awaitable[Mapping[str, str]]]
"""Asks for what an auth endpoint answers for a channel, whatever it answered before."""


class Decryption:
    """Reads the events of one encrypted channel.

    The secret comes with each authorization. An event that it does not open makes the client ask for a new one, once,
    and waits for it; so do others like it that come meanwhile, in their order and at most ``max_waiting``. What can be
    read does not wait for what cannot: everything that one publisher encrypted with one key keeps its order. What the
    new secret does not open either, or was no encrypted event to begin with, is dropped, counted in
    ``channel.undecrypted`` and told to ``client.connection.bind("error", ...)``. Nothing is raised.
    """

    def __init__(self, client: Client, channel: Channel, runtime: Runtime, ask: AskAgain, *, max_waiting: int) -> None:
        encryption.require()
        self._client = client
        self._channel = channel
        self._runtime = runtime
        self._ask = ask
        self._secret: bytes | None = None
        self._waiting: deque[ReceivedEvent] = deque()
        self._max_waiting = max_waiting

    def admit(self, auth: Mapping[str, str]) -> dict[str, str]:
        """``auth`` as it goes to the server, the secret kept here. Raises :class:`SubscriptionRefused` without one."""
        try:
            self._secret = encryption.read_secret(auth.get("shared_secret"))
        except CannotDecrypt as error:
            raise SubscriptionRefused(self._channel.name, str(error)) from None
        return {name: value for name, value in auth.items() if name != "shared_secret"}

    def receive(self, event: ReceivedEvent) -> None:
        """An event arrived. Those of the protocol itself are never encrypted."""
        if event.event.startswith(("pusher:", "pusher_internal:")):
            self._channel.accept(event)
            return
        try:
            readable = self._read(event)
        except CannotDecrypt as error:
            if error.newer_secret:
                self._wait(event)
            else:
                self._drop(event, str(error))
        else:
            self._channel.accept(readable)

    def _wait(self, event: ReceivedEvent) -> None:
        """Wait for a new secret, which the first one to wait asks for."""
        if len(self._waiting) >= self._max_waiting:
            self._drop(event, f"{self._max_waiting} others wait for a new secret")
            return
        self._waiting.append(event)
        if len(self._waiting) == 1:
            self._runtime.start_soon(self._ask_again)

    def _read(self, event: ReceivedEvent) -> ReceivedEvent:
        box = encryption.read_box(event.data)
        if self._secret is None:
            raise CannotDecrypt("its secret is not known", newer_secret=True)
        text = encryption.decrypt(self._secret, box)
        return msgspec.structs.replace(event, data=messages.unwrapped(text))

    async def _ask_again(self) -> None:
        """Ask for a new secret, and read with it what waits. Never raises what an authorizer does."""
        failed = ""
        try:
            self.admit(await self._ask(self._channel))
        except RelayError as error:
            failed = f", and asking for a new secret failed: {error}"
        except Exception as error:  # noqa: BLE001 - whatever an application's authorizer raises
            _log.exception("asking for a new secret failed")
            failed = f", and asking for a new secret failed: {type(error).__name__}"
        finally:
            waiting, self._waiting = self._waiting, deque()
        for event in waiting:
            if self._channel.over:
                return
            try:
                readable = self._read(event)
            except CannotDecrypt as error:
                self._drop(event, f"{error}{failed}")
            else:
                self._channel.accept(readable)
        self._client.wake()

    def _drop(self, event: ReceivedEvent, why: str) -> None:
        self._channel.undecrypted += 1
        _log.warning("an event could not be decrypted", extra={"channel": event.channel, "reason": why})
        self._client.connection.error(f"{event.event} on {event.channel} could not be decrypted: {why}", None)
