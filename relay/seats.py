"""Which of this node's connections make which users online."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

import msgspec


class Kind(enum.Enum):
    """As what a connection makes its user online."""

    SIGNED_IN = "#signed-in-"
    """It is signed in: that is what watchlists are about (protocol 4.5)."""
    PRESENT = "#present-"
    """It is signed in or was in a presence channel: that is what the Facts are about."""


class Place(msgspec.Struct, frozen=True):
    """Where the connections of one user are counted, over all nodes."""

    kind: Kind
    user_id: str

    @property
    def channel(self) -> str:
        """Its name in the directory and on the broker; no channel of an application may be called so."""
        return self.kind.value + self.user_id


class _Sitter:
    __slots__ = ("cancel", "places")

    def __init__(self) -> None:
        self.places: dict[Place, None] = {}
        self.cancel: Callable[[], None] | None = None


class Seats:
    """The places that each connection of one App holds on this node, by socket id.

    A connection that is gone *lingers*: its places are given up when the grace is over.
    """

    __slots__ = ("_places", "_sitters")

    def __init__(self) -> None:
        self._sitters: dict[str, _Sitter] = {}
        self._places: dict[Place, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._sitters)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._sitters))

    def take(self, socket_id: str, place: Place) -> bool:
        """Whether that is news: a connection has each place once."""
        sitter = self._sitters.get(socket_id)
        if sitter is None:
            sitter = self._sitters[socket_id] = _Sitter()
        if place in sitter.places:
            return False
        sitter.places[place] = None
        self._places.setdefault(place, {})[socket_id] = None
        return True

    def leave(self, socket_id: str, place: Place) -> None:
        """Give a place up; unknown is fine."""
        sitter = self._sitters.get(socket_id)
        if sitter is None or place not in sitter.places:
            return
        del sitter.places[place]
        if not sitter.places:
            del self._sitters[socket_id]
        sockets = self._places[place]
        del sockets[socket_id]
        if not sockets:
            del self._places[place]

    def of(self, socket_id: str) -> tuple[Place, ...]:
        """The places of a connection, those of one that lingers too."""
        sitter = self._sitters.get(socket_id)
        return () if sitter is None else tuple(sitter.places)

    def count(self, place: Place) -> int:
        """How many connections of this node hold ``place``."""
        return len(self._places.get(place, ()))

    def present(self) -> int:
        """How many users are online through this node, those too whose connections all linger."""
        return sum(place.kind is Kind.PRESENT for place in self._places)

    def linger(self, socket_id: str, cancel: Callable[[], None]) -> None:
        """A connection that has places is gone; ``cancel`` takes the end of its grace back."""
        self._sitters[socket_id].cancel = cancel

    def hurry(self) -> list[str]:
        """End every grace now; returns the connections whose places are to be given up."""
        lingering = []
        for socket_id, sitter in self._sitters.items():
            if sitter.cancel is not None:
                sitter.cancel()
                sitter.cancel = None
                lingering.append(socket_id)
        return lingering

    def lingering(self, socket_id: str) -> bool:
        """Whether a connection is gone and its grace not over."""
        sitter = self._sitters.get(socket_id)
        return sitter is not None and sitter.cancel is not None

    def sockets(self) -> dict[str, frozenset[str]]:
        """Who holds which place, by its name in the directory."""
        return {place.channel: frozenset(sockets) for place, sockets in self._places.items()}
