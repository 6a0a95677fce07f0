"""``client.connection``: the state of a client's connection, as in pusher-js."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from relay.client.client import Client


class State(enum.Enum):
    """Where a client's connection stands, in pusher-js's words."""

    INITIALIZED = "initialized"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    UNAVAILABLE = "unavailable"
    """Lost; the next attempt waits its turn."""
    FAILED = "failed"
    """The server said not to come back."""
    DISCONNECTED = "disconnected"
    """Closed, by us or for good."""


class StateChange(msgspec.Struct, frozen=True):
    """What callbacks of a state get."""

    previous: State
    current: State


class ServerError(msgspec.Struct, frozen=True):
    """What callbacks of ``"error"`` get: a pusher:error that was about no subscribe, or what the client found wrong
    itself, an event that it could not decrypt for instance.
    """

    message: str
    code: int | None


Listener = Callable[..., object]


class ConnectionView:
    """State, socket id and callbacks of one client's connection."""

    def __init__(self, client: Client) -> None:
        self.state = State.INITIALIZED
        self.socket_id: str | None = None
        self._client = client
        self._listeners: list[tuple[str, Listener]] = []

    def bind(self, event: str, callback: Listener) -> Callable[[], None]:
        """Call ``callback`` on ``"connected"`` or another state, ``"state_change"`` or ``"error"``.

        It gets a :class:`StateChange` or a :class:`ServerError`. Returns what ends that.
        """
        entry = (event, callback)
        self._client.eager = True
        self._listeners.append(entry)

        def unbind() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)

        return unbind

    def become(self, state: State) -> None:
        """Change the state and tell."""
        if state is self.state:
            return
        change = StateChange(self.state, state)
        self.state = state
        self._tell(state.value, change)
        self._tell("state_change", change)

    def error(self, message: str, code: int | None) -> None:
        """Tell of a pusher:error."""
        self._tell("error", ServerError(message, code))

    def _tell(self, event: str, what: object) -> None:
        for wanted, callback in list(self._listeners):
            if wanted == event:
                self._client.run(callback, what)
