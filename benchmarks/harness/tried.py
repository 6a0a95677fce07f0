"""What was tried for targets that may not hold, by the beginning of their names: told on the page where they do not."""

from __future__ import annotations

from typing import Final

_SAME_WRITES = (
    "Writing to the sockets past the loop's transports, with `os.write`: 7.18 µs instead of 7.34 to 7.45 for a write to"
    " each of 1,000, which is under 3 % and not worth its risk. A channel's events are written in one turn, or a few of"
    " 128 sockets, by the same system calls that others make; the median receiver waits for half of them."
)

TRIED: Final = {
    "forty events a tick: deliveries": (
        "Subscribers share one batch a tick (design note 4): 0.51 µs before, 0.27 to 0.31 since, depending on the "
        "run; 0.286 would hold. The turns of the flush became smaller after that, 128 sockets instead of 512, "
        "since a small channel beside a huge one waited too long; fairness was worth more."
    ),
    "50,000 deliveries a second: p99": _SAME_WRITES,
    "20,000 deliveries a second through REST": (
        "The target was set by a p99 of 190 ms that soketi once had. In these runs it is nearer 12 ms, and Relay "
        "is level with it: both wait for the same writes to 1,000 sockets on one core."
    ),
    "50,000 deliveries a second through REST": "As with 20,000 a second.",
    "REST publish to one subscriber": (
        "The signature is computed by one call into OpenSSL, the query is read once instead of three times and "
        "unescaped only where something is escaped: a call's own part fell from 48 to 38 µs, which the figure "
        "above may not show yet. What is left is aiohttp's share, the check of the body field by field, the "
        "receipt, and the write to the subscriber, which the bare handler has not."
    ),
    "connect, handshake and subscribe": (
        "A door of its own lets go of aiohttp's request, parser and handler task after the upgrade. The greeting "
        "leaves in a task of its own, behind the 101. What is left over the bare exchange is the session, its "
        "registries, its deadline and the subscribe."
    ),
    "one node's joins of presence channels": (
        "Every client here is new, and joins its first presence channel: two steps in Redis, since its user comes "
        "online too. A channel is asked for once now, however many join it at once; a step is one string each way "
        "instead of a dozen, sets no times that are set already, and defines no functions that it does not call. "
        "Beside each other in one run that took a third off the node's part (509 to 332 µs in the best round of each), "
        "and three quarters off that of a leave, since those who leave are told of side by side. A core does about "
        "3,000 of 332 µs; in the rounds of this page it has not had that to give. What "
        "is left is spread thin: redis-py in Python (hiredis, where it is installed, was no faster), the session, a "
        "task of its own, the signature, and telling 20 members."
    ),
    "in-process: from trigger to receive": (
        "Connecting in-process fell from 20 to 15 µs and a delivery from four calls to one. The receiver is "
        "another task that has to be woken, and it decodes the bytes that a socket would carry; handing the event "
        "over undecoded would not test what users run."
    ),
}
