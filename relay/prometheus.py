"""A hub's numbers for Prometheus, read from its registries at the moment of the scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(f"metrics need the prometheus extra: pip install 'relay-hub[prometheus]' ({error})") from error
from prometheus_client import generate_latest

from relay.hub import Hub
from relay.metrics import Stats, Totals

_GAUGES: Final = {
    "connections": "Clients connected to this node",
    "channels": "Channels with a subscriber on this node",
    "subscriptions": "Subscriptions on this node",
    "users": "Users signed in on this node, by connections that are open",
}
"""Fields of Stats."""

_COUNTERS: Final = {
    "connected": ("connections_opened", "Clients that were let in"),
    "subscribed": ("subscriptions_made", "Subscriptions that were acknowledged"),
    "published": ("events_published", "Events that application code published on this node"),
    "delivered": ("events_delivered", "Published events queued for clients, once for each client"),
    "client_events": ("client_events", "Client events that were accepted"),
    "refused": ("refusals", "Requests of clients that were refused"),
    "cache_misses": ("cache_misses", "Subscribes to a cache channel that had nothing to replay"),
    "slow_consumers": ("slow_consumers", "Clients disconnected since they did not read"),
    "lost": ("events_lost", "Events that slow clients lost"),
    "webhook_requests": ("webhook_requests", "Webhooks that a receiver took, whatever the number of events in them"),
    "webhook_events": ("webhook_events_delivered", "Events in webhooks that a receiver took"),
    "webhooks_given_up": ("webhook_events_given_up", "Events that a receiver of webhooks will never be told"),
    "events_given_up": ("events_given_up", "Events that were held for other nodes and will never be sent to them"),
    "webhook_attempts": ("webhook_attempts", "Attempts it took to send webhooks that were taken or given up"),
}
"""Fields of Totals, with their names here, which end in ``_total`` in a scrape."""

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class HubCollector(Collector):
    """``relay_`` metrics of ``hub``. The only labels are ``app``, the App's id, and ``code`` of closes: never a channel
    or a user, which there may be any number of.

    ``lag`` tells how many seconds the event loop is late, where somebody measures that::

        registry.register(HubCollector(hub))
    """

    def __init__(self, hub: Hub, *, lag: Callable[[], float] | None = None) -> None:
        self._hub = hub
        self._lag = lag

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Everything as it is now."""
        hub = self._hub
        stats = {app.id: hub.stats(app=app) for app in hub.apps}
        totals = {app.id: hub.totals(app=app) for app in hub.apps}
        yield from self._of_apps(stats, totals)
        yield from self._of_node()

    def _of_apps(
        self, stats: Mapping[str, Stats], totals: Mapping[str, Totals]
    ) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        hub = self._hub
        for field, told in _GAUGES.items():
            gauge = GaugeMetricFamily(f"relay_{field}", told, labels=["app"])
            for app, values in stats.items():
                gauge.add_metric([app], getattr(values, field))
            yield gauge
        yield _gauge("users_online", "Users online through this node", stats, lambda app: hub.online_here(app=app))
        yield _gauge("events_held", "Events that wait for the other nodes", stats, lambda app: hub.events_held(app=app))
        yield _gauge("webhook_events_waiting", "Events that no receiver took yet", stats, hub.webhooks_waiting)
        for field, (name, told) in _COUNTERS.items():
            counter = CounterMetricFamily(f"relay_{name}", told, labels=["app"])
            for app, total in totals.items():
                counter.add_metric([app], getattr(total, field))
            yield counter
        closed = CounterMetricFamily(
            "relay_connections_closed",
            "Clients that are gone, by the code they were closed with",
            labels=["app", "code"],
        )
        for app, total in totals.items():
            for code, count in total.closed.items():
                closed.add_metric([app, "none" if code is None else str(code)], count)
        yield closed

    def _of_node(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        state = self._hub.readiness()
        yield GaugeMetricFamily("relay_ready", "Whether this node wants clients: 1 or 0", value=float(state.ready))
        yield GaugeMetricFamily(
            "relay_draining", "Whether this node sends its clients away: 1 or 0", value=float(state.draining)
        )
        yield GaugeMetricFamily(
            "relay_broker_up",
            "Whether this node hears what other nodes send, or has none: 1 or 0",
            value=float(state.broker != "lost"),
        )
        yield CounterMetricFamily(
            "relay_broker_losses",
            "How often this node stopped hearing other nodes",
            value=self._hub.totals().broker_losses,
        )
        yield GaugeMetricFamily(
            "relay_directory_up",
            "Whether other nodes can know who is on this node, or there are none: 1 or 0",
            value=float(state.directory != "lost"),
        )
        yield CounterMetricFamily(
            "relay_directory_losses",
            "How often other nodes stopped knowing who is on this node",
            value=self._hub.totals().directory_losses,
        )
        if self._lag is not None:
            yield GaugeMetricFamily("relay_loop_lag_seconds", "How late the event loop is", value=self._lag())


def _gauge(name: str, told: str, apps: Iterable[str], measure: Callable[[str], float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"relay_{name}", told, labels=["app"])
    for app in apps:
        gauge.add_metric([app], measure(app))
    return gauge


def exposition(collector: HubCollector, accept: str = "") -> tuple[bytes, str]:
    """What a scrape is answered, and its content type: OpenMetrics where ``accept`` asks for it, else plain text."""
    registry = CollectorRegistry()
    registry.register(collector)
    if "application/openmetrics-text" in accept:
        return generate_openmetrics(registry), OPEN  # type: ignore[no-untyped-call]
    return generate_latest(registry), PLAIN
