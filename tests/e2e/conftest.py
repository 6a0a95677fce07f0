"""What the end-to-end tests get: the site, Chromium with pusher-js, the server SDKs, and pusher-js in Node."""

import json
import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pusher.client import Client as PusherClient
from pusher.requests import RequestsBackend

from relay import App

from .application import APP, HERE, HOST, MASTER_KEY, PUSHER_JS, WATCHING, Site
from .browser import CHROMIUM_ARGUMENTS, Client
from .programs import PATIENCE, JsonProgram
from .sdks import NpmSdk, PypiSdk, ServerSdk, npm_configuration, pypi_client


@pytest.fixture(scope="session")
def issuer() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def authority(issuer, tmp_path_factory) -> Path:
    """A file with the authority that clients are to trust."""
    path: Path = tmp_path_factory.mktemp("tls") / "authority.pem"
    issuer.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def certificate(issuer) -> ssl.SSLContext:
    """What the site shows to those who come with TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert(HOST).configure_cert(context)
    return context


@pytest.fixture
def served_app() -> App:
    """The App of the site's hub."""
    return WATCHING


@pytest.fixture
def site(require, certificate, caplog, served_app) -> Iterator[Site]:
    """The embedding application, in a thread with a loop of its own. At the end its hub must be sound, and nothing
    may have been logged that an operator would have to look at.
    """
    for folder in PUSHER_JS.values():
        require(folder, "make setup")
    site = Site(served_app)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(site.serve(certificate)):
        site.run = portal.call
        yield site
        portal.call(site.hub.settle)
        assert portal.call(site.hub.check) == []
    records = [record for phase in ("setup", "call", "teardown") for record in caplog.get_records(phase)]
    assert [record.getMessage() for record in records if record.levelno >= logging.WARNING] == []


@pytest.fixture(scope="module")
def chromium(require) -> Iterator[Browser]:
    """Debian's Chromium. Not for the whole session: while it is there, no other loop can run in this thread."""
    program = require("chromium", "apt-get install chromium")
    expect.set_options(timeout=PATIENCE * 1000)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture(params=list(PUSHER_JS))
def library(request) -> str:
    """The pusher-js that pages load."""
    return str(request.param)


@pytest.fixture(scope="module")
def blank_pages() -> list[Page]:
    """What earlier tests left, each in a profile of its own: a new page costs more than most tests."""
    return []


@pytest.fixture
def open_page(site, chromium, blank_pages) -> Iterator[Callable[..., Page]]:
    """`open_page("messages.html", library="8.6.0", user="ada")` in a profile of its own, as another person would."""
    opened: list[Page] = []

    def open_page(name: str, *, tls: bool = False, **query: str) -> Page:
        # It knows no authority but the public ones.
        page: Page = blank_pages.pop() if blank_pages else chromium.new_context(ignore_https_errors=True).new_page()
        opened.append(page)
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(site.url(f"/pages/{name}?{urlencode(query)}", tls=tls))
        return page

    yield open_page
    for page in opened:
        if page.is_closed() or page.url.startswith("https:"):
            page.context.close()
        else:
            page.goto("about:blank")
            page.context.clear_cookies()
            blank_pages.append(page)


@pytest.fixture
def open_client(open_page) -> Callable[..., Client]:
    """A connected `pages/client.html`."""

    def open_client(library: str, user: str = "ada", **query: str) -> Client:
        return Client(open_page("client.html", library=library, user=user, **query)).connected()

    return open_client


@pytest.fixture
def run_node(require, authority) -> Iterator[Callable[..., JsonProgram]]:
    """`run_node("sdk.mjs", argument, ...)` starts a script of js/; it ends with the test."""
    node = require("node", "apt-get install nodejs")
    require(HERE / "js/node_modules", "make setup")
    programs = []

    def run_node(script: str, *arguments: str) -> JsonProgram:
        program = JsonProgram([node, HERE / "js" / script, *arguments], env={"NODE_EXTRA_CA_CERTS": str(authority)})
        programs.append(program)
        return program

    yield run_node
    for program in programs:
        program.stop()


@pytest.fixture
def subscribe(site, run_node) -> Callable[..., JsonProgram]:
    """`subscribe("orders", ...)`: pusher-js in Node that is subscribed to all of them."""

    def subscribe(
        *channels: str,
        user: str = "ada",
        tls: bool = False,
        auth: str = "/pusher/auth",
        transport: str = "ws",
        sign_in: bool = False,
    ) -> JsonProgram:
        options: dict[str, Any] = {
            "cluster": "none",
            "wsHost": HOST,
            "wsPort": site.port,
            "wssPort": site.tls_port,
            "forceTLS": tls,
            "httpHost": HOST,
            "httpPort": site.port,
            "httpsPort": site.tls_port,
            "enabledTransports": [transport],
            "channelAuthorization": {"endpoint": site.url(auth, tls=tls), "headers": {"X-User": user}},
        }
        if sign_in:
            endpoint = site.url("/pusher/user-auth", tls=tls)
            options["userAuthentication"] = {"endpoint": endpoint, "headers": {"X-User": user}}
        client: JsonProgram = run_node("client.mjs", APP.key, json.dumps(options), *channels)
        for _ in channels:
            client.wait_for(event="pusher:subscription_succeeded")
        return client

    return subscribe


@pytest.fixture
def make_sdk(site, run_node, authority) -> Iterator[Callable[..., ServerSdk]]:
    """A server SDK, `"pypi"` or `"npm"`, configured by `"url"` or by `"credentials"`."""
    sessions = []

    def backend(client: PusherClient) -> RequestsBackend:
        requests = RequestsBackend(client)
        if client.ssl:  # it would trust the bundle that comes with it, whatever options and environment say
            requests.options["verify"] = str(authority)
        sessions.append(requests.session)
        return requests

    def make_sdk(
        source: str,
        *,
        configured_by: str = "credentials",
        tls: bool = False,
        secret: str = APP.secret,
        master_key: str = MASTER_KEY,
    ) -> ServerSdk:
        how: dict[str, Any] = {"configured_by": configured_by, "tls": tls, "secret": secret, "master_key": master_key}
        if source == "npm":
            return NpmSdk(run_node("sdk.mjs", json.dumps(npm_configuration(site, **how))))
        return PypiSdk(pypi_client(site, backend, **how))

    yield make_sdk
    for session in sessions:
        session.close()


@pytest.fixture(params=["pypi", "npm"])
def sdk(request, make_sdk) -> ServerSdk:
    """Each of the official server SDKs."""
    made: ServerSdk = make_sdk(request.param)
    return made


@pytest.fixture
def some_sdk(library, make_sdk) -> ServerSdk:
    """One of the official server SDKs, with each pusher-js another one: for tests that need not meet every pair."""
    made: ServerSdk = make_sdk({"8.6.0": "npm", "3.0.0": "pypi"}[library])
    return made
