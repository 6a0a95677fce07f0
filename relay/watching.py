"""Who watches whom on this node, and what each watcher was told (protocol 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

C = TypeVar("C")
"""A connection; this module only keeps it."""


class Statuses(msgspec.Struct, frozen=True):
    """What one watcher is told in one frame: who is online, and who is not."""

    online: tuple[str, ...]
    offline: tuple[str, ...]


class Watched(Generic[C]):
    """One user whom somebody here watches.

    ``online`` is None until it is known. ``attached`` tells that the broker delivers what other nodes have to say.
    """

    __slots__ = ("attached", "edges", "online", "step", "watchers")

    def __init__(self) -> None:
        self.online: bool | None = None
        self.attached = False
        self.step = 0
        """The directory's number of the latest edge; what is older is no news."""
        self.edges = 0
        """How many edges were taken in."""
        self.watchers: dict[C, bool | None] = {}
        """What each was told last; None for one that waits for its first frame."""


class Watching(Generic[C]):
    """The watchlists of one App's connections on this node; users whom nobody watches are not kept.

    A user's coming and going reaches it as *edges*, whose steps tell which of two is the later one. What a watcher
    is told is the difference to what it was told last, so it hears of each user online and offline in turn.
    """

    __slots__ = ("_changed", "_lists", "_users")

    def __init__(self) -> None:
        self._users: dict[str, Watched[C]] = {}
        self._lists: dict[C, tuple[str, ...]] = {}
        self._changed: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._lists)

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._lists))

    def get(self, user_id: str) -> Watched[C] | None:
        """The user, if somebody here watches it."""
        return self._users.get(user_id)

    def list_of(self, watcher: C) -> tuple[str, ...]:
        """Whom ``watcher`` watches."""
        return self._lists.get(watcher, ())

    def watch(self, watcher: C, user_ids: tuple[str, ...]) -> list[str]:
        """Let ``watcher`` watch these and nobody else; returns those whom nobody watches any more.

        It is told nothing until ``first`` was called for it.
        """
        before = self._lists.pop(watcher, ())
        if user_ids:
            self._lists[watcher] = user_ids
        for user_id in user_ids:
            if user_id not in self._users:
                self._users[user_id] = Watched()
            self._users[user_id].watchers[watcher] = None
        return [user_id for user_id in before if user_id not in user_ids and self._unwatch(watcher, user_id)]

    def forget(self, watcher: C) -> list[str]:
        """``watcher`` is gone; returns those whom nobody watches any more."""
        return self.watch(watcher, ())

    def edge(self, user_id: str, *, online: bool, step: int) -> bool:
        """A user came or went; whether that makes the first change since ``changes``."""
        watched = self._users.get(user_id)
        if watched is None or step < watched.step:
            return False
        watched.step = step
        watched.edges += 1
        return self._become(user_id, watched, online=online)

    def answer(self, user_id: str, watched: Watched[C], *, online: bool, edges: int) -> bool:
        """Somebody who knows was asked about ``watched`` when it had taken in so many ``edges``. Returned as above.

        An edge since then counts more than the answer: either it is the later of the two, or one more is to come.
        """
        if self._users.get(user_id) is not watched or watched.edges != edges:
            return False
        return self._become(user_id, watched, online=online)

    def first(self, watcher: C) -> Statuses:
        """What ``watcher`` is told of its whole list; from now on it is told what changes."""
        user_ids = self.list_of(watcher)
        for user_id in user_ids:
            watched = self._users[user_id]
            watched.watchers[watcher] = bool(watched.online)
        return _statuses(user_ids, [bool(self._users[user_id].online) for user_id in user_ids])

    def changes(self) -> dict[Statuses, list[C]]:
        """What has to be told, with everybody to whom it has to be; they count as told."""
        news: dict[C, dict[str, bool]] = {}
        for user_id in self._changed:
            watched = self._users.get(user_id)
            if watched is None or watched.online is None:
                continue
            for watcher, told in watched.watchers.items():
                if told is not None and told is not watched.online:
                    watched.watchers[watcher] = watched.online
                    news.setdefault(watcher, {})[user_id] = watched.online
        self._changed.clear()
        told_alike: dict[Statuses, list[C]] = {}
        for watcher, statuses in news.items():
            told_alike.setdefault(_statuses(list(statuses), list(statuses.values())), []).append(watcher)
        return told_alike

    def problems(self) -> list[str]:
        """What is inconsistent in here, in words."""
        found = [
            f"user {user_id} is watched by nobody and kept"
            for user_id, watched in self._users.items()
            if not watched.watchers
        ]
        for user_id, watched in self._users.items():
            strays = [watcher for watcher in watched.watchers if user_id not in self.list_of(watcher)]
            found += [f"user {user_id} is watched by a connection whose watchlist is another" for _ in strays]
        for watcher, user_ids in self._lists.items():
            missing = [one for one in user_ids if one not in self._users or watcher not in self._users[one].watchers]
            found += [f"user {user_id} stands on a watchlist and is not watched" for user_id in missing]
        return found

    def _become(self, user_id: str, watched: Watched[C], *, online: bool) -> bool:
        if watched.online is online:
            return False
        known, watched.online = watched.online is not None, online
        first = known and not self._changed
        if known:  # else nobody was told anything yet
            self._changed[user_id] = None
        return first

    def _unwatch(self, watcher: C, user_id: str) -> bool:
        watched = self._users[user_id]
        del watched.watchers[watcher]
        if watched.watchers:
            return False
        del self._users[user_id]
        self._changed.pop(user_id, None)
        return True


def _statuses(user_ids: Sequence[str], online: Sequence[bool]) -> Statuses:
    pairs = list(zip(user_ids, online, strict=True))
    return Statuses(tuple(one for one, is_on in pairs if is_on), tuple(one for one, is_on in pairs if not is_on))
