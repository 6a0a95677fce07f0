"""OpenTelemetry spans of what a hub publishes and of the webhooks it sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

try:
    from opentelemetry import propagate
    from opentelemetry import trace as telemetry
except ImportError as error:
    raise ImportError(
        f"tracing needs the opentelemetry extra: pip install 'relay-hub[opentelemetry]' ({error})"
    ) from error
from opentelemetry.trace import SpanKind, StatusCode, Tracer, TracerProvider

from relay import __version__
from relay.app import App
from relay.hub import Hub
from relay.protocol.events import CheckedEvent
from relay.receipts import Receipt
from relay.webhooks import Answer, Request


def trace(hub: Hub, *, provider: TracerProvider | None = None) -> None:
    """Make a span for every event that ``hub`` publishes and for every attempt to send a webhook, from now on.

    The spans come from ``provider``, by default the one that OpenTelemetry was set up with. A publish is a child of
    whatever span is current where it is called. A webhook has a trace of its own: what happened and what is sent are
    seconds apart, and several events go in one request. Its receiver is told by the headers of the propagator that
    OpenTelemetry was set up with, ``traceparent`` by default.

    Attributes name the App, the event and its channels, which may say something about your users; never data or a
    secret. ``hub.trace(None)`` ends it. A hub that is not traced knows nothing of OpenTelemetry and imports none of it.
    """
    hub.trace(_Telemetry(telemetry.get_tracer("relay", __version__, tracer_provider=provider)))


class _Telemetry:
    """Spans as OpenTelemetry has them; names as in its conventions for messaging and HTTP clients."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def publish(
        self, app: App, event: CheckedEvent, publish: Callable[[CheckedEvent], Awaitable[Receipt]]
    ) -> Receipt:
        attributes: dict[str, str | list[str]] = {
            "messaging.system": "relay",
            "messaging.operation.name": "trigger",
            "messaging.operation.type": "send",
            "relay.app": app.id,
            "relay.event": event.name,
            "relay.channels": list(event.channels),
        }
        if len(event.channels) == 1:
            attributes["messaging.destination.name"] = event.channels[0]
        with self._tracer.start_as_current_span("trigger", kind=SpanKind.PRODUCER, attributes=attributes) as span:
            receipt = await publish(event)
            span.set_attribute("relay.delivered", receipt.delivered)
            span.set_attribute("relay.remote", receipt.remote)
            return receipt

    async def send(self, app: str, request: Request, send: Callable[[Request], Awaitable[Answer]]) -> Answer:
        attributes = {"http.request.method": "POST", "url.full": request.endpoint.shown, "relay.app": app}
        with self._tracer.start_as_current_span("webhook", kind=SpanKind.CLIENT, attributes=attributes) as span:
            headers = dict(request.headers)
            propagate.inject(headers)
            answer = await send(msgspec.structs.replace(request, headers=headers))
            if answer.status is not None:
                span.set_attribute("http.response.status_code", answer.status)
            if answer.status is None or not 200 <= answer.status < 300:
                span.set_status(StatusCode.ERROR, str(answer))
            return answer
