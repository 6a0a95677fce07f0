"""Totals are the facts, counted; what Prometheus reads is the registries."""

import re

import pytest

from relay import App, Hub, WebhookEndpoint
from relay.metrics import Totals
from relay.prometheus import OPEN, PLAIN, HubCollector, exposition
from relay.testing import ManualClock, WebhookRecorder, cluster
from tests.unit.client import APP, arrive

pytestmark = pytest.mark.every_loop
OTHER = App(id="2", key="other-key", secret="other-secret")


def samples(hub: Hub, **options: object) -> dict[str, float]:
    """Every sample of a scrape by its name with its labels."""
    body, _ = exposition(HubCollector(hub, **options))  # type: ignore[arg-type]
    return {
        name: float(value)
        for line in body.decode().splitlines()
        if not line.startswith("#")
        for name, value in [line.rsplit(" ", 1)]
    }


async def test_totals_count_what_happened():
    async with Hub(APP, clock=ManualClock()) as hub:
        one, two = await arrive(hub), await arrive(hub)
        for socket in (one, two):
            await socket.subscribe("private-team")
            await socket.subscribe("cache-orders")
        await hub.trigger(["private-team", "cache-orders"], "paid", "")
        await one.say("client-typing", {}, "private-team")
        await one.say("nonsense")
        one.disconnect()
        await hub.settle()
        two.connection.close(4201, "")
        assert hub.totals() == Totals(
            connected=2,
            subscribed=4,
            published=1,
            delivered=4,
            client_events=1,
            refused=1,
            cache_misses=2,
            closed={None: 1, 4201: 1},
        )


async def test_totals_are_kept_for_each_app():
    async with Hub(APP, OTHER, clock=ManualClock()) as hub:
        await arrive(hub, APP)
        await arrive(hub, OTHER)
        await arrive(hub, OTHER)
        assert [hub.totals(app=app).connected for app in (APP, OTHER)] == [1, 2]
        assert hub.totals() == Totals(connected=3)


async def test_a_scrape_is_what_the_registries_hold():
    async with Hub(APP, OTHER, clock=ManualClock()) as hub:
        socket = await arrive(hub, APP)
        await socket.subscribe("orders")
        await socket.sign_in("ada")
        found = samples(hub, lag=lambda: 0.25)
        assert found['relay_connections{app="1001"}'] == 1
        assert found['relay_connections{app="2"}'] == 0
        assert found['relay_channels{app="1001"}'] == 1
        assert found['relay_subscriptions{app="1001"}'] == 1
        assert found['relay_users{app="1001"}'] == 1
        assert (found["relay_ready"], found["relay_loop_lag_seconds"]) == (1, 0.25)
        socket.disconnect()
        await hub.settle()
        found = samples(hub)
        assert found['relay_connections{app="1001"}'] == 0
        assert found['relay_connections_closed_total{app="1001",code="none"}'] == 1


async def test_webhooks_are_counted():
    app = App(id="1", key="k", secret="s", webhooks=(WebhookEndpoint("http://a.example/"),))
    clock, receiver = ManualClock(), WebhookRecorder([app])
    hub = Hub(app, clock=clock)
    hub.send_webhooks(receiver)
    async with hub:
        socket = await arrive(hub)
        await socket.subscribe("orders")
        assert samples(hub)['relay_webhook_events_waiting{app="1"}'] == 1
        receiver.status = 500
        await clock.advance(1)
        assert samples(hub)['relay_webhook_events_waiting{app="1"}'] == 1
        receiver.status = 200
        await clock.advance(60)
        found = samples(hub)
        assert found['relay_webhook_events_waiting{app="1"}'] == 0
        assert found['relay_webhook_events_delivered_total{app="1"}'] == 1
        assert found['relay_webhook_requests_total{app="1"}'] == 1
        assert found['relay_webhook_attempts_total{app="1"}'] == len(receiver.requests) > 1
        receiver.status = 410
        await socket.subscribe("bills")
        await clock.advance(60)
        assert samples(hub)['relay_webhook_events_given_up_total{app="1"}'] == 1
        receiver.status = 200


async def test_a_user_is_online_until_the_grace_is_over():
    clock = ManualClock()
    async with Hub(APP, clock=clock) as hub:
        one, two = await arrive(hub), await arrive(hub)
        await one.sign_in("ada")
        await two.subscribe("presence-room", "ada")
        assert (hub.online_here(), samples(hub)['relay_users_online{app="1001"}']) == (1, 1)
        one.disconnect()
        two.disconnect()
        await hub.settle()
        assert (hub.stats().users, hub.online_here()) == (0, 1)
        await clock.advance(10)
        assert hub.online_here(app=APP) == 0


async def test_a_node_that_hears_no_other_says_so():
    async with cluster(APP) as nodes:
        hub = nodes[1].hub
        assert (samples(hub)["relay_broker_up"], samples(hub)["relay_broker_losses_total"]) == (1, 0)
        nodes.part(1)
        await nodes.settle()
        found = samples(hub)
        assert (found["relay_broker_up"], found["relay_ready"], found["relay_broker_losses_total"]) == (0, 0, 1)
        await nodes.heal(1)
        await nodes.advance(20)
        assert (samples(hub)["relay_broker_up"], samples(hub)["relay_broker_losses_total"]) == (1, 1)
        assert hub.totals(app=APP).broker_losses == 0


async def test_events_that_wait_for_other_nodes_are_in_a_scrape_and_those_that_were_given_up_too():
    async with cluster(APP, hold=10) as nodes:
        hub = nodes[1].hub
        nodes.part(1)
        for _ in range(3):
            await hub.trigger("orders", "paid", "")
        await hub.terminate_user_connections("ada")
        held, given_up = 'relay_events_held{app="1001"}', 'relay_events_given_up_total{app="1001"}'
        assert (samples(hub)[held], samples(hub)[given_up]) == (4, 0)
        await nodes.advance(60)
        assert (samples(hub)[held], samples(hub)[given_up]) == (1, 3)


async def test_labels_carry_no_channel_and_no_user():
    async with Hub(APP, clock=ManualClock()) as hub:
        socket = await arrive(hub)
        await socket.subscribe("presence-secret-room", "ada-lovelace")
        body, _ = exposition(HubCollector(hub))
        assert not re.search(rb"secret-room|lovelace", body)


async def test_a_scraper_gets_the_format_it_asks_for():
    async with Hub(APP, clock=ManualClock()) as hub:
        plain, plain_type = exposition(HubCollector(hub), "text/plain")
        other, other_type = exposition(
            HubCollector(hub), "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"
        )
        assert (plain_type, other_type) == (PLAIN, OPEN)
        assert other.endswith(b"# EOF\n")
        assert not plain.endswith(b"# EOF\n")
