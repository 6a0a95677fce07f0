"""``relay serve``: a hub of its own, for programs that do not embed one. ``relay bench``: how fast it is here.

:mod:`~relay.cli.parser` knows the flags, :mod:`~relay.cli.options` makes one checked value of flags, environment and
file, :mod:`~relay.cli.serving` listens, with the :mod:`~relay.cli.certificate` and the :mod:`~relay.cli.unix` socket;
:mod:`~relay.cli.workers` are several processes that do, and :mod:`~relay.cli.engines` links them.

``relay tail``, ``channels``, ``trigger`` and ``stats`` ask a hub that runs: :mod:`~relay.cli.remote` knows their flags
and exit codes, :mod:`~relay.cli.asking` asks, :mod:`~relay.cli.showing` shows the answer.
"""

from __future__ import annotations

from relay.cli.command import main
from relay.cli.engines import cluster_of
from relay.cli.options import configuration
from relay.cli.parser import build_parser
from relay.cli.serving import serve_application

__all__ = ["build_parser", "cluster_of", "configuration", "main", "serve_application"]
