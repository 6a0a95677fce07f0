"""OpenTelemetry spans round what is published and what is sent to receivers of webhooks."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from relay import App, Hub, WebhookEndpoint
from relay.cluster.directory import Occupancy
from relay.cluster.local import LocalDirectory
from relay.protocol.events import Event
from relay.testing import ManualClock, WebhookRecorder
from relay.tracing import trace
from tests.unit.client import arrive

pytestmark = pytest.mark.every_loop
APP = App(id="1001", key="k", secret="s", webhooks=(WebhookEndpoint("http://a.example/hook?token=hush"),))


class Tracing:
    """A hub that is traced, and the spans of it that ended."""

    def __init__(self, directory: LocalDirectory | None = None) -> None:
        self.clock = ManualClock()
        self.provider = TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.receiver = WebhookRecorder([APP])
        self.hub = Hub(APP, clock=self.clock, directory=directory)
        self.hub.send_webhooks(self.receiver)
        trace(self.hub, provider=self.provider)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]


async def test_a_publish_is_a_span_below_the_one_that_is_current():
    tracing = Tracing()
    async with tracing.hub as hub:
        await (await arrive(hub)).subscribe("orders")
        with tracing.provider.get_tracer("shop").start_as_current_span("checkout") as checkout:
            await hub.trigger("orders", "paid", {"secret": "hush"})
    [span] = tracing.spans("trigger")
    assert span.kind is SpanKind.PRODUCER
    assert span.parent == checkout.get_span_context()
    assert dict(span.attributes or {}) == {
        "messaging.system": "relay",
        "messaging.operation.name": "trigger",
        "messaging.operation.type": "send",
        "messaging.destination.name": "orders",
        "relay.app": "1001",
        "relay.event": "paid",
        "relay.channels": ("orders",),
        "relay.delivered": 1,
        "relay.remote": "none",
    }


async def test_each_event_of_a_batch_has_its_span():
    tracing = Tracing()
    async with tracing.hub as hub:
        await hub.trigger(["orders", "bills"], "paid", "")
        await hub.trigger_batch([Event("orders", str(number), "") for number in range(3)])
    assert [(span.attributes or {})["relay.event"] for span in tracing.spans("trigger")] == ["paid", "0", "1", "2"]
    assert "messaging.destination.name" not in (tracing.spans("trigger")[0].attributes or {})


async def test_an_attempt_to_send_a_webhook_is_a_span_and_the_receiver_is_told_of_it():
    tracing = Tracing()
    async with tracing.hub as hub:
        await (await arrive(hub)).subscribe("orders")
        tracing.receiver.status = 500
        await tracing.clock.advance(0.2)
        tracing.receiver.status = 200
        await tracing.clock.advance(60)
        failed, *_, taken = tracing.spans("webhook")
        assert (failed.kind, failed.status.status_code) == (SpanKind.CLIENT, StatusCode.ERROR)
        assert failed.status.description == "status 500"
        assert taken.status.status_code is StatusCode.UNSET
        assert dict(taken.attributes or {}) == {
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "url.full": "http://a.example/hook?***",
            "relay.app": "1001",
        }
        for span, request in zip(tracing.spans("webhook"), tracing.receiver.requests, strict=True):
            assert request.headers["traceparent"].split("-")[2] == format(span.context.span_id, "016x")


async def test_an_error_is_passed_on_and_marks_the_span():
    class Broken(LocalDirectory):
        async def occupancy(self, app: str, channel: str) -> Occupancy:
            raise ZeroDivisionError

    tracing = Tracing(directory=Broken())
    async with tracing.hub as hub:
        with pytest.raises(ZeroDivisionError):
            await hub.trigger("orders", "paid", "", info=["subscription_count"])
    [span] = tracing.spans("trigger")
    assert (span.status.status_code, [event.name for event in span.events]) == (StatusCode.ERROR, ["exception"])


async def test_what_is_traced_no_more_makes_no_spans():
    tracing = Tracing()
    async with tracing.hub as hub:
        hub.trace(None)
        await hub.trigger("orders", "paid", "")
    assert tracing.spans("trigger") == []


def test_a_hub_that_is_not_traced_imports_no_opentelemetry():
    program = "import sys, relay.testing, relay_transports.aiohttp, relay.cli; relay.testing.Kit().close()"
    run = [sys.executable, "-c", program + "; print([name for name in sys.modules if 'opentelemetry' in name])"]
    assert subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout == "[]\n"
