"""Which nodes live: one document, that each node writes anew at every beat, over the one before it.

Pure data. All times are NATS's own, in microseconds: the last beat of a node is when NATS wrote the document, which
says whose beat that was.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from relay.errors import BrokerError


class Leases(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """``living`` and ``dead`` nodes, by when they were heard of last, or found dead. ``writer`` wrote it, and was alive
    then; ``before`` is when the one before it was written.
    """

    version: int = 1
    writer: str = ""
    before: int = 0
    living: dict[str, int] = {}
    dead: dict[str, int] = {}

    def at(self, now: int, lease: int, away: int) -> Leases:
        """As of ``now``, when it was written.

        Where nobody had written for longer than ``away``, nobody could: NATS was away, not the nodes. So who was alive
        then has one lease more.
        """
        living = dict(self.living)
        if self.before and now - self.before > away:
            living.update((name, now) for name, heard in living.items() if heard >= self.before - lease)
        if self.writer:
            living[self.writer] = now
        return msgspec.structs.replace(self, living=living)

    def beaten(self, name: str, now: int, *, keep: str = "", clean: Collection[str] = ()) -> Leases:
        """With a beat of ``name``; ``now`` is of the document before. ``keep`` has a lease more, if it lives. Nobody
        needs to know of the dead any more who are ``clean``.
        """
        living = self.living | {name: now} | ({keep: now} if keep in self.living else {})
        dead = {one: since for one, since in self.dead.items() if one not in clean}
        return Leases(writer=name, before=now, living=living, dead=dead)

    def ended(self, name: str, now: int) -> Leases:
        """Without ``name``, which owns nothing."""
        living = {one: heard for one, heard in self.living.items() if one != name}
        return Leases(before=now, living=living, dead=self.dead)

    def overdue(self, now: int, lease: int) -> list[str]:
        """Who was not heard of for a lease."""
        return [name for name, heard in self.living.items() if now - heard > lease]

    def buried(self, names: list[str], name: str, now: int, forget: int) -> Leases:
        """With ``names`` among the dead, as ``name`` found. Who is dead for ``forget`` is forgotten."""
        living = {one: heard for one, heard in self.living.items() if one not in names}
        dead = {one: since for one, since in self.dead.items() if now - since < forget}
        writer = name if name in living else ""
        return Leases(writer=writer, before=now, living=living, dead=dead | dict.fromkeys(names, now))


_decode = msgspec.msgpack.Decoder(tuple[int, str, int, dict[str, int], dict[str, int]]).decode
dump = msgspec.msgpack.Encoder().encode


def load(data: bytes) -> Leases:
    """What ``dump`` made ``data`` of; nothing is nobody. Raises :class:`BrokerError`."""
    if not data:
        return Leases()
    try:
        leases = Leases(*_decode(data))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BrokerError(f"the leases in NATS are not ours: {type(error).__name__}") from None
    if leases.version != 1:
        raise BrokerError(f"the leases in NATS are of version {leases.version}, known is 1")
    return leases
