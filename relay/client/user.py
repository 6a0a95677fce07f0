"""``client.user``: who a client is signed in as, and the users on its watchlist, as in pusher-js."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from relay.client.client import Client

Status = Literal["online", "offline"]


class WatchlistEvent(msgspec.Struct, frozen=True):
    """What callbacks of a watchlist get: these users came online, or went offline (``name``)."""

    name: Status
    user_ids: tuple[str, ...]


class WatchlistEvents(msgspec.Struct, frozen=True):
    """One frame of them (protocol 4.5)."""

    events: tuple[WatchlistEvent, ...] = ()


def read_watchlist_events(data: object) -> WatchlistEvents:
    """The events in a frame's data; none where it has another form."""
    try:
        return msgspec.convert(data, WatchlistEvents)
    except msgspec.ValidationError:
        return WatchlistEvents()


class Watchlist:
    """The users whose coming and going the server tells of. Which they are it read from the ``user_data`` of the
    sign-in; what it said is forgotten when the connection is lost, and said anew after the next sign-in.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listeners: list[tuple[Status, Callable[[WatchlistEvent], object]]] = []
        self._online: dict[str, bool] = {}

    @property
    def online(self) -> frozenset[str]:
        """The ids of those who are online."""
        self._client.pump()
        return frozenset(user_id for user_id, online in self._online.items() if online)

    @property
    def offline(self) -> frozenset[str]:
        """The ids of those who are not."""
        self._client.pump()
        return frozenset(user_id for user_id, online in self._online.items() if not online)

    def bind(self, event: Status, callback: Callable[[WatchlistEvent], object]) -> Callable[[], None]:
        """Call ``callback`` when users are ``"online"`` or ``"offline"``, with a :class:`WatchlistEvent`.

        After each sign-in it is told of everybody on the list, then of every change. Returns what ends that.
        """
        entry = (event, callback)
        self._client.eager = True
        self._listeners.append(entry)

        def unbind() -> None:
            if entry in self._listeners:
                self._listeners.remove(entry)

        return unbind

    def told(self, events: WatchlistEvents) -> None:
        """Take in one frame, and tell whoever is bound."""
        for event in events.events:
            self._online.update((user_id, event.name == "online") for user_id in event.user_ids)
        for event in events.events:
            for wanted, callback in list(self._listeners):
                if wanted == event.name:
                    self._client.run(callback, event)

    def forget(self) -> None:
        """Nothing is known any more."""
        self._online.clear()


class UserView:
    """The user that one client is signed in as."""

    def __init__(self, client: Client) -> None:
        self.id: str | None = None
        """None while it is not signed in."""
        self._watchlist = Watchlist(client)

    @property
    def watchlist(self) -> Watchlist:
        """Those it watches, as far as the hub told."""
        return self._watchlist

    def lost(self) -> None:
        """The connection is gone: we are nobody until the next sign-in."""
        self.id = None
        self._watchlist.forget()
