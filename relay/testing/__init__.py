"""For tests of code that uses Relay: time that only moves when told to, clients that assert, faults on purpose.

``relay.pytest_plugin`` gives the :class:`Kit` as the fixture ``relay``.
"""

from relay.testing.asserting import AssertingChannel, AssertingClient
from relay.testing.clock import ManualClock
from relay.testing.engine import Weather
from relay.testing.faults import Faults
from relay.testing.kit import DEFAULT_APP, Kit, PublishedEvent, RecordingHub
from relay.testing.nodes import Nodes, cluster
from relay.testing.transcript import Entry, Transcript
from relay.testing.webhooks import ReceivedWebhook, WebhookRecorder

__all__ = [
    "DEFAULT_APP",
    "AssertingChannel",
    "AssertingClient",
    "Entry",
    "Faults",
    "Kit",
    "ManualClock",
    "Nodes",
    "PublishedEvent",
    "ReceivedWebhook",
    "RecordingHub",
    "Transcript",
    "Weather",
    "WebhookRecorder",
    "cluster",
]
