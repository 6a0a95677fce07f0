"""The floor in C: ``send`` of a finished frame to each socket. Compiled when it is asked for."""

from __future__ import annotations

import os
import sys

from benchmarks.harness.compiling import compiled
from benchmarks.peers.serving import Peer, main, text


class FloorC(Peer):
    """Becomes the program of ``floor.c``, which speaks as this process would."""

    title = "send() in C"
    path = ""

    async def start(self) -> int:
        """Never returns."""
        program = str(compiled("peers/floor.c"))
        os.execv(program, [program, text()])
        return 0

    def publish(self, channel: str, stamp: int) -> None:
        """Not from here."""


if __name__ == "__main__":
    if sys.argv[1] == "describe":
        compiled("peers/floor.c")
    main(FloorC)
