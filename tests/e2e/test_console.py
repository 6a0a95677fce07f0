"""The console in Chromium, as an operator uses it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Page, expect

from relay import App, Hub, Member
from relay_transports.aiohttp import add_console, setup
from relay_transports.inprocess import RawClient, connect_raw

TOKEN = "a-token-for-the-console"
EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
SHOTS = os.environ.get("RELAY_SCREENSHOTS")
APP = App(id="1001", key="app-key", secret="app-secret", max_subscriptions=20_000, max_user_id=200)


class Console:
    """A hub with its console, in a loop of its own; ``run`` calls there."""

    run: Callable[..., Any]

    def __init__(self) -> None:
        self.hub = Hub(APP, debug=True)
        self.port = 0
        self.clients = AsyncExitStack()

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[None]:
        app = web.Application()
        add_console(app, self.hub, token=TOKEN)
        setup(app, self.hub, drain_over=0.0)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.port = runner.addresses[0][1]
        try:
            async with self.clients:
                yield
        finally:
            await runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/console"

    def client(self, *channels: str, member: Member | None = None) -> RawClient:
        """A client that is in these channels."""

        async def connect() -> RawClient:
            client = await self.clients.enter_async_context(connect_raw(self.hub))
            for channel in channels:
                await client.subscribe(channel, member if channel.startswith("presence-") else None)
            return client

        client: RawClient = self.run(connect)
        return client

    def trigger(self, channel: str, event: str, times: int = 1) -> None:
        async def publish() -> None:
            for _ in range(times):
                await self.hub.trigger(channel, event, {"secret": "payload"})

        self.run(publish)


@pytest.fixture
def console() -> Iterator[Console]:
    served = Console()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served.serve()):
        served.run = portal.call
        yield served
        portal.call(served.hub.settle)
        assert portal.call(served.hub.check) == []


@pytest.fixture
def open_console(console, open_page) -> Callable[..., Page]:
    """`open_console()`: the page, logged in."""

    def open_console(**how: Any) -> Page:
        page: Page = open_page(console.url, **how)
        return page

    return open_console


@pytest.fixture
def open_page(chromium) -> Iterator[Callable[..., Page]]:
    """`open_page(url)`: a console, logged in; the browser's own must stay empty but for what `allowed` says."""
    opened: list[tuple[Page, list[str], list[str]]] = []

    def open_page(url: str, *, login: bool = True, allowed: list[str] | None = None, **how: Any) -> Page:
        page: Page = chromium.new_context(**how).new_page()
        complaints: list[str] = []
        opened.append((page, complaints, allowed or []))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        if login:
            page.get_by_label("Token").fill(TOKEN)
            page.keyboard.press("Enter")
            expect(page.get_by_text("live", exact=True)).to_be_visible()
        return page

    yield open_page
    for page, complaints, allowed in opened:
        page.context.close()
        refused = "status of 401"  # the browser tells of every answer that is none
        left = [one for one in complaints if not any(words in one for words in (refused, *allowed))]
        assert left == []


def shoot(page: Page, name: str) -> None:
    """A screenshot, where somebody wants to look at it."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def busy(console: Console) -> None:
    """A hub like a shop's at noon."""
    for number in range(30):
        member = Member(f"user-{number}", {"name": f"Person {number}"})
        console.client("orders", f"private-cart-{number}", "presence-shop", member=member)
    for number in range(8):
        console.trigger("orders", "paid")
        console.trigger(f"private-cart-{number}", "changed")


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def rows(page: Page, name: str) -> Any:
    return page.get_by_role("listbox", name=name).get_by_role("option")


def fact(page: Page, text: str | re.Pattern[str]) -> Any:
    return rows(page, "Facts").filter(has_text=text)


def test_wrong_token_is_told_and_the_right_one_opens(open_console):
    page = open_console(login=False)
    page.get_by_label("Token").fill("not-the-right-token")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Wrong token.")
    shoot(page, "login")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("status").filter(has_text="ready")).to_be_visible()
    page.reload()
    expect(page.get_by_role("status").filter(has_text="ready")).to_be_visible()
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_session_that_ends_leads_back_to_the_login_and_shows_nothing_old(console, open_console):
    console.client("orders")
    page = open_console()
    expect(rows(page, "Channels")).to_have_count(1)
    page.context.clear_cookies()
    expect(page.get_by_label("Token")).to_be_visible()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    console.trigger("orders", "paid")
    expect(fact(page, "paid → orders (1)")).to_have_count(1)


def test_an_empty_hub_says_so(open_console):
    page = open_console()
    expect(page.get_by_text("Nobody is in any channel.")).to_be_visible()
    expect(page.get_by_text("Nothing has happened since this page listens.")).to_be_visible()
    shoot(page, "empty")
    tab(page, "Connections")
    expect(page.get_by_text("Nobody is connected to this node.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_channels_members_connections_and_facts_are_shown(console, open_console, scheme):
    page = open_console(color_scheme=scheme, viewport={"width": 1280, "height": 760})
    busy(console)
    expect(rows(page, "Channels").first).to_contain_text("orders")
    expect(fact(page, "changed → private-cart-7 (1)")).to_be_visible()
    rows(page, "Channels").filter(has_text="presence-shop").click()
    expect(page.get_by_text('user-3 {"name":"Person 3"}')).to_be_attached()
    shoot(page, f"busy-{scheme}")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(245, 246, 248)", "dark": "rgb(18, 22, 28)"}[scheme]
    tab(page, "Connections")
    rows(page, "Connections").first.click()
    expect(page.locator("#connection-detail")).to_contain_text("in 3 channels")
    shoot(page, f"connections-{scheme}")
    assert "payload" not in page.content()


def test_facts_are_filtered_by_type_and_pattern(console, open_console):
    page = open_console()
    with page.expect_request(lambda request: "type=Published" in request.url):
        page.get_by_label("Type of facts").select_option("Published")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    page.get_by_label("Channel or pattern").fill("private-*")
    with page.expect_response(lambda answer: "channel=private" in answer.url):
        page.get_by_label("Channel or pattern").press("Enter")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    console.client("orders", "private-a")
    console.trigger("orders", "unwanted")
    console.trigger("private-a", "wanted")
    expect(fact(page, "wanted → private-a (1)")).to_be_visible()
    expect(rows(page, "Facts")).to_have_count(1)


def test_a_pattern_that_cannot_be_is_told(open_console):
    page = open_console(allowed=["status of 400"])
    page.get_by_label("Type of facts").select_option("Connected")
    page.get_by_label("Channel or pattern").fill("private-*")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#facts-state")).to_contain_text("Connected is about no channel")


def test_a_refusal_is_explained(console, open_console):
    page = open_console()

    async def intrude() -> None:
        client = await console.clients.enter_async_context(connect_raw(console.hub))
        await client.send('{"event":"pusher:subscribe","data":{"channel":"private-x","auth":"app-key:00"}}')

    console.run(intrude)
    fact(page, "RefusedRequest").click()
    expect(page.locator("#fact-detail")).to_contain_text("Most likely cause")
    shoot(page, "refusal")


def test_an_event_is_triggered(console, open_console):
    page = open_console(allowed=["status of 400"])
    client = console.client("orders")
    tab(page, "Trigger")
    page.get_by_label("Channel", exact=True).fill("orders")
    page.get_by_label("Event", exact=True).fill("paid")
    page.get_by_label("Data, as JSON").fill('{"id": 7')
    page.get_by_role("button", name="Trigger", exact=True).click()
    expect(page.locator("#trigger-result")).to_contain_text("The data is not JSON")
    page.get_by_label("Data, as JSON").fill('{"id": 7}')
    page.get_by_role("button", name="Trigger", exact=True).click()
    expect(page.locator("#trigger-result")).to_have_text("Queued for 1 subscriber of this node.")
    shoot(page, "trigger")
    received = console.run(client.received)
    assert [(event.event, event.data) for event in received[-1:]] == [("paid", {"id": 7})]
    page.get_by_label("Channel", exact=True).fill("or ders")
    page.get_by_role("button", name="Trigger", exact=True).click()
    expect(page.locator("#trigger-result")).to_contain_text("or ders")


def test_names_of_strangers_stay_text(console, open_console):
    page = open_console()
    console.client("presence-x", member=Member(EVIL, {"name": EVIL}))
    rows(page, "Channels").filter(has_text="presence-x").click()
    expect(page.locator("#channel-detail li")).to_contain_text("<script>")
    expect(fact(page, "MemberAdded")).to_contain_text("<img src=x")
    fact(page, "MemberAdded").click()
    expect(page.locator("#fact-detail")).to_contain_text("<img src=x")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, #console script").count() == 0


def test_ten_thousand_channels_do_not_freeze_the_page(console, open_console):
    console.client(*(f"room-{number:05}" for number in range(10_000)))
    page = open_console()
    expect(page.locator("#channels-count")).to_have_text("10,000")
    page.evaluate(
        """() => {
            window.longest = 0;
            let before = performance.now();
            const frame = (now) => {
                window.longest = Math.max(window.longest, now - before);
                before = now;
                requestAnimationFrame(frame);
            };
            requestAnimationFrame(frame);
        }"""
    )
    assert rows(page, "Channels").count() < 80
    page.get_by_role("listbox", name="Channels").focus()
    page.keyboard.press("End")
    expect(rows(page, "Channels").filter(has_text="room-09999")).to_be_visible()
    page.get_by_placeholder("Name contains").fill("0777")
    expect(page.locator("#channels-count")).to_have_text("11 of 10,000")
    console.trigger("room-00000", "burst", times=3000)
    expect(fact(page, "burst").last).to_be_visible()
    assert rows(page, "Facts").count() < 80
    shoot(page, "ten-thousand")
    assert page.evaluate("window.longest") < 1000  # ms; the machine does other things too


def test_the_hub_goes_away_and_another_one_takes_its_place(open_page):
    with start_blocking_portal() as portal:
        first, second = Console(), Console()
        with portal.wrap_async_context_manager(first.serve()):
            first.run = portal.call
            page = open_page(first.url, allowed=["ERR_", "network error", "status of 503"])
            first.client("orders")
            expect(rows(page, "Channels")).to_have_count(1)
        expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
        expect(page.get_by_text("not connected; trying again…")).to_be_visible()
        shoot(page, "away")
        with portal.wrap_async_context_manager(second.serve(first.port)):
            second.run = portal.call
            expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_hidden()
            expect(page.get_by_text("live", exact=True)).to_be_visible()
            second.trigger("orders", "back")
            expect(fact(page, "back → orders (0)")).to_be_visible()


def test_everything_can_be_done_by_keyboard(console, open_console):
    console.client("orders", "presence-shop", member=Member("ada"))
    page = open_console(login=False)
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(rows(page, "Channels")).to_have_count(2)

    def focused() -> str:
        return str(page.evaluate("document.activeElement.id"))

    def go_to(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if focused() == name:
                return
        pytest.fail(f"the Tab key never comes to {name}")

    go_to("channels")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#channel-detail")).to_contain_text("ada")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    go_to("facts")
    page.keyboard.press("Shift+Tab")
    go_to("tab-channels")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Connections")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    go_to("trigger-channel")
    page.keyboard.type("orders")
    page.keyboard.press("Tab")
    page.keyboard.type("paid")
    page.keyboard.press("Enter")
    expect(page.locator("#trigger-result")).to_have_text("Queued for 1 subscriber of this node.")


def test_the_page_fits_a_phone(console, open_console):
    page = open_console(viewport={"width": 360, "height": 740}, color_scheme="dark")
    busy(console)
    expect(rows(page, "Channels").first).to_be_visible()
    shoot(page, "phone")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
