"""What all nodes of one cluster have to have the same, or they would miss each other's events and members unseen.

The first node writes it into the engine, the others compare: at their start, and at each beat, since an engine may lose
what it has. There it lasts for a lease, so that a cluster of which no node lives may begin anew with other settings.

Where two nodes wrote different things into an engine that had lost both, the older agreement holds: each node knows
``since`` when, by the engine's clock, the one that it took part in holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.errors import SettingsDiffer


class Agreement:
    """One node's side of it: what it would have in ``terms``, by name.

    A name that the others do not have, as they are older than it, is agreed on as soon as somebody brings it; one that
    this node does not know is no matter to it.
    """

    def __init__(self, prefix: str, lease: float, terms: Mapping[str, object]) -> None:
        self._prefix, self._lease = prefix, lease
        self.terms = {name: _text(value) for name, value in terms.items()}
        self.since = 0
        """Since when it holds, in microseconds by the engine's clock; 0, this node does not know of any."""

    def take_part(self, since: int, theirs: Mapping[str, str]) -> None:
        """Hold to what the engine has. Raises :class:`SettingsDiffer`."""
        for name, ours in self.terms.items():
            if theirs.get(name, ours) != ours:
                pause = theirs.get("lease", _text(self._lease))
                hint = ", which is another version of Relay" if name == "format" else ""
                raise SettingsDiffer(
                    f"{name} is {theirs[name]} on the other nodes of the cluster {self._prefix!r}, and {ours} on this"
                    f" one{hint}: have the same on all, or another prefix for what is another cluster; to change it"
                    f" on all, stop them, and start the first one {pause} seconds later",
                    setting=name,
                    ours=ours,
                    theirs=theirs[name],
                )
        self.since = since


def _text(value: object) -> str:
    """As it is compared: 10 and 10.0 are the same."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
