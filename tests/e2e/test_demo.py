"""The demo that `make serve` runs, as people use it: in Chromium, with pusher-js and with the demo's own client."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect, sync_playwright

from .browser import CHROMIUM_ARGUMENTS

DEMO = Path(__file__).parents[2] / "examples" / "demo"
PUSHER_JS = DEMO / "node_modules" / "pusher-js" / "dist" / "web" / "pusher.min.js"
PATIENCE = 20_000  # ms


@contextmanager
def served(port: int = 0, *, workers: int = 1) -> Iterator[str]:
    """The demo in a process of its own; gives the address that it prints, and stops it."""
    command = [sys.executable, str(DEMO / "app.py"), "--port", str(port), "--workers", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address, f"the demo printed {line!r}"
            yield address[0]
        finally:
            process.terminate()
    assert process.returncode == 0


@dataclass
class Person:
    """One pane."""

    pane: Locator

    @property
    def name(self) -> str:
        return self.pane.get_by_label("Name").input_value()

    def write(self, text: str) -> None:
        self.pane.get_by_label("Message", exact=True).fill(text)

    def say(self, text: str) -> None:
        self.write(text)
        self.press("Send")

    def press(self, button: str) -> None:
        self.pane.get_by_role("button", name=button).click()

    def sees_people(self, count: int) -> None:
        expect(self.pane.locator("h2 .count")).to_have_text(str(count))
        expect(self.pane.locator(".people li")).to_have_count(count)

    def sees_message(self, text: str) -> None:
        expect(self.pane.locator(".said .text").last).to_have_text(text)

    def frames(self, kind: str, event: str) -> Locator:
        """The frames of one kind, `sent` or `received`, on this connection."""
        return self.pane.locator(f".frames .{kind}", has_text=f'"event":"{event}"')


@dataclass
class Opened:
    """The page, and what went wrong on it."""

    page: Page
    people: tuple[Person, Person]
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def both_are_there(self) -> None:
        for person in self.people:
            expect(person.pane).to_have_attribute("data-state", "connected")
            person.sees_people(2)


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def demo(request, require) -> Iterator[str]:
    if request.param > 1:
        require("redis-server", "apt-get install redis-server")
    with served(workers=request.param) as url:
        yield url


@pytest.fixture(scope="module")
def chromium(require) -> Iterator[Browser]:
    """Not for the whole session: while it is there, no other loop can run in this thread."""
    program = require("chromium", "apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture
def open_demo(chromium) -> Iterator[Callable[..., Opened]]:
    """`open_demo(url)`; whatever the page asked for, it must have asked 127.0.0.1."""
    opened = []

    def open_demo(url: str, *, prepare: Callable[[Page], object] | None = None, **how: object) -> Opened:
        page = chromium.new_context(**how).new_page()
        page.set_default_timeout(PATIENCE)
        panes = page.locator(".pane")
        shown = Opened(page, (Person(panes.nth(0)), Person(panes.nth(1))))
        opened.append(shown)
        page.on("console", lambda message: shown.complaints.append(message.text))
        page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        page.on("request", lambda request: shown.addresses.append(request.url))
        page.on("websocket", lambda socket: shown.addresses.append(socket.url))
        if prepare is not None:
            prepare(page)
        page.goto(url)
        return shown

    yield open_demo
    for one in opened:
        one.page.context.close()
        assert {urlsplit(address).hostname for address in one.addresses} == {"127.0.0.1"}


@pytest.fixture(params=["pusher-js", "own"])
def client(request, require) -> str:
    """The query that chooses each of the two clients."""
    if request.param == "pusher-js":
        require(PUSHER_JS, "make setup")
        return ""
    return "?client=own"


@pytest.fixture
def opened(demo, client, open_demo) -> Iterator[Opened]:
    """Both people are in the room; to the end of the test the console must stay empty."""
    opened = open_demo(f"{demo}/{client}")
    opened.both_are_there()
    yield opened
    assert opened.complaints == []


def test_two_people_see_each_other(opened, client):
    ada, grace = opened.people
    assert ada.name != grace.name
    for person in ada, grace:
        expect(person.pane.locator(".people")).to_contain_text(ada.name)
        expect(person.pane.locator(".people")).to_contain_text(grace.name)
        expect(person.pane.locator(".socket code")).to_have_text(re.compile(r"^\d+\.\d+$"))
    expect(opened.page.locator("#client-name")).to_have_text("client.js, our own" if client else "pusher-js")


def test_typing_shows_in_the_other_pane_alone(opened):
    ada, grace = opened.people
    ada.write("Hel")
    expect(grace.pane.locator(".typing")).to_have_text(f"{ada.name} is typing")
    expect(ada.pane.locator(".typing")).to_be_empty()
    grace.press("Pay")
    expect(ada.pane.locator(".paid")).to_have_count(1)  # what the hub sent before is here too
    expect(ada.frames("received", "client-typing")).to_have_count(0)
    expect(ada.frames("sent", "client-typing")).to_have_count(1)


def test_chat_reaches_both_as_plain_text(opened):
    ada, grace = opened.people
    ada.say("<b>hello</b> & welcome")
    for person in ada, grace:
        person.sees_message("<b>hello</b> & welcome")
        expect(person.pane.locator(".said .who")).to_have_text(ada.name)


def test_payment_is_told_to_the_other_and_not_to_the_payer(opened):
    ada, grace = opened.people
    ada.press("Pay")
    expect(grace.pane.locator(".paid .text")).to_have_text("pay success!")
    expect(grace.pane.locator(".paid .who")).to_have_text(f"{ada.name} paid")
    expect(ada.pane.locator(".status")).to_have_text(
        re.compile(r"^Paid\. (1 other connection was|All others, on every process, were) told, this one was not\.$")
    )
    grace.say("thanks")
    ada.sees_message("thanks")  # what the hub sent before is here too
    expect(ada.pane.locator(".paid")).to_have_count(0)
    expect(ada.frames("received", "pay_notify")).to_have_count(0)


def test_new_name_is_seen_by_all(opened):
    ada, grace = opened.people
    ada.pane.get_by_label("Name").fill("Countess <i>")
    ada.pane.get_by_label("Name").press("Enter")
    for person in ada, grace:
        expect(person.pane.locator(".people")).to_contain_text("Countess <i>")
        person.sees_people(2)
    ada.say("it is me")
    expect(grace.pane.locator(".said .who")).to_have_text("Countess <i>")


def test_dropped_connection_leaves_and_comes_back_as_another(opened):
    ada, grace = opened.people
    before = ada.pane.locator(".socket code").inner_text()
    ada.press("Drop connection")
    grace.sees_people(1)
    expect(grace.pane.locator(".note").last).to_have_text(f"{ada.name} left")
    ada.sees_people(0)
    expect(opened.page.locator("#banner")).to_be_hidden()
    ada.press("Reconnect")
    opened.both_are_there()
    expect(ada.pane.locator(".socket code")).not_to_have_text(before)


def test_third_person_joins_and_leaves(opened):
    opened.page.get_by_role("button", name="Add a person").click()
    for person in opened.people:
        person.sees_people(3)
    opened.page.get_by_role("button", name="Remove").click()
    opened.both_are_there()


@contextmanager
def two_processes(folder: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """The demo with its temporary files in ``folder``, and a connection to its Redis."""
    command = [sys.executable, str(DEMO / "app.py"), "--port", "0", "--workers", "2"]
    environ = {**os.environ, "TMPDIR": folder}
    with (
        socket.socket(socket.AF_UNIX) as redis,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        try:
            assert process.stdout is not None
            assert b"2 workers" in process.stdout.readline()
            [path] = Path(folder).glob("*/redis.sock")
            redis.connect(str(path))
            yield process, redis
        finally:
            process.kill()
            with suppress(OSError):  # a Redis that is still there now would stay
                redis.sendall(b"SHUTDOWN NOSAVE\r\n")


def test_nothing_of_the_demo_outlives_its_first_process(require):
    require("redis-server", "apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:  # a Unix socket's path must be short
        with two_processes(folder) as (process, redis):
            process.kill()
            process.communicate(timeout=60)  # workers, Redis and its guard hold this stderr until they end
            assert redis.recv(1) == b""
        assert list(Path(folder).iterdir()) == []


def test_page_says_that_the_hub_is_gone_and_recovers(open_demo, client):
    banner = "#banner"
    with served() as url:
        opened = open_demo(f"{url}/{client}")
        opened.both_are_there()
        expect(opened.page.locator(banner)).to_be_hidden()
    expect(opened.page.locator(banner)).to_be_visible()
    for person in opened.people:
        expect(person.pane.get_by_role("button", name="Send")).to_be_disabled()
        person.sees_people(0)
    with served(urlsplit(url).port or 0):
        opened.both_are_there()
        expect(opened.page.locator(banner)).to_be_hidden()
        opened.people[0].say("back again")
        opened.people[1].sees_message("back again")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_phone(demo, open_demo, scheme):
    opened = open_demo(f"{demo}/?client=own", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    opened.both_are_there()
    opened.people[0].say("W" * 200)
    opened.people[1].sees_message("W" * 200)
    for person in opened.people:
        person.pane.get_by_text("On the wire").click()
        expect(person.frames("received", "message")).to_be_visible()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 360


def test_page_does_without_pusher_js(demo, open_demo):
    def not_installed(page: Page) -> None:
        page.route("**/settings", lambda route: route.fulfill(json={"key": "demo-key", "pusher_js": False}))

    opened = open_demo(f"{demo}/", prepare=not_installed)
    opened.both_are_there()
    expect(opened.page.locator(".client")).to_contain_text("client.js, our own")
    expect(opened.page.locator(".client")).to_contain_text("pusher-js is not installed")


def test_own_client_asks_whether_a_silent_hub_is_there(demo, open_demo):
    opened = open_demo(f"{demo}/?client=own", prepare=lambda page: page.clock.install())
    opened.both_are_there()
    opened.page.clock.fast_forward("02:01")
    for person in opened.people:
        expect(person.frames("sent", "pusher:ping")).to_have_count(1)
        expect(person.frames("received", "pusher:pong")).to_have_count(1)


class ScriptedHub:
    """A hub of which every connection is greeted, and the first one on the page closed with `code`."""

    GREETING = (
        '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"1.%d\\",\\"activity_timeout\\":120}"}'
    )

    def __init__(self, code: int) -> None:
        self.code = code
        self.sockets: list[WebSocketRoute] = []

    def take(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.send(self.GREETING % len(self.sockets))
        if len(self.sockets) == 1:
            socket.close(code=self.code, reason="as the test wants it")

    def prepare(self, page: Page) -> None:
        page.clock.install()
        page.route_web_socket("**/app/**", self.take)


@pytest.mark.parametrize("code", [4001, 4009, 4301])
def test_own_client_stays_away_when_told_to(demo, open_demo, code):
    hub = ScriptedHub(code)
    opened = open_demo(f"{demo}/?client=own", prepare=hub.prepare)
    expect(opened.people[0].pane).to_have_attribute("data-state", "disconnected")
    expect(opened.people[0].pane.locator(".status")).to_contain_text(f"as the test wants it ({code})")
    expect(opened.people[1].pane).to_have_attribute("data-state", "connected")
    opened.page.clock.fast_forward("01:00")
    expect(opened.page.locator("#banner")).to_be_hidden()
    assert len(hub.sockets) == 2


@pytest.mark.parametrize("code", [1001, 1011, 4100, 4200])
def test_own_client_comes_back_after_other_codes(demo, open_demo, code):
    hub = ScriptedHub(code)
    opened = open_demo(f"{demo}/?client=own", prepare=hub.prepare)
    expect(opened.people[1].pane).to_have_attribute("data-state", "connected")
    opened.page.clock.fast_forward("00:02")
    expect(opened.people[0].pane.locator(".socket code")).to_have_text("1.3")


def test_own_client_answers_a_ping(demo, open_demo):
    hub = ScriptedHub(4200)
    opened = open_demo(f"{demo}/?client=own", prepare=hub.prepare)
    expect(opened.people[1].pane).to_have_attribute("data-state", "connected")
    hub.sockets[1].send('{"event":"pusher:ping","data":"{}"}')
    expect(opened.people[1].frames("sent", "pusher:pong")).to_have_count(1)


def status_of(request: Request) -> int:
    try:
        with urlopen(request) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return int(error.status or 0)


WHO = {"user": "0123456789abcdef", "name": "Ada"}


@pytest.mark.parametrize(
    ("path", "form", "headers", "status"),
    [
        ("/chat", {**WHO, "text": "hello"}, {}, 200),
        ("/chat", {**WHO, "text": "x" * 501}, {}, 400),
        ("/chat", {**WHO, "text": " "}, {}, 400),
        ("/chat", {**WHO, "name": "x" * 25, "text": "hello"}, {}, 403),
        ("/chat", {**WHO, "name": "A\nda", "text": "hello"}, {}, 403),
        ("/chat", {**WHO, "user": "../etc", "text": "hello"}, {}, 403),
        ("/chat", {"text": "hello"}, {}, 403),
        ("/pay", WHO, {}, 200),
        ("/pay", WHO, {"X-Socket-ID": "1.2"}, 200),
        ("/pay", WHO, {"X-Socket-ID": "nonsense"}, 400),
        ("/pay", {}, {}, 403),
        ("/pusher/auth", {**WHO, "socket_id": "1.2", "channel_name": "presence-room"}, {}, 200),
        ("/pusher/auth", {**WHO, "socket_id": "1.2", "channel_name": "presence-other"}, {}, 403),
        ("/pusher/auth", {"socket_id": "1.2", "channel_name": "presence-room"}, {}, 403),
    ],
)
def test_application_answers(demo, path, form, headers, status):
    assert status_of(Request(demo + path, urlencode(form).encode(), headers)) == status
