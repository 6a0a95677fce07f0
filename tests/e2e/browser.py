"""A page with pusher-js in it, driven by a test."""

from typing import Any

from playwright.sync_api import Page

CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Client:
    """One pages/client.html, in a browser profile of its own."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def socket_id(self) -> str:
        return str(self.run("pusher.connection.socket_id"))

    def run(self, script: str, argument: object = None) -> Any:
        """What ``script`` (an expression, or a function of ``argument``) gives in the page."""
        return self.page.evaluate(script, argument)

    def wait_until(self, condition: str, argument: object = None) -> None:
        """Return when ``condition`` holds in the page."""
        self.page.wait_for_function(condition, arg=argument)

    def connected(self) -> "Client":
        self.wait_until("pusher.connection.state === 'connected'")
        return self

    def subscribe(self, channel: str) -> None:
        """Return when subscribed; raises with the status that the auth endpoint refused with."""
        self.run("subscribe", channel)

    def wait_for(self, event: str) -> Any:
        """The data of ``event``, once it is there."""
        self.wait_until("(event) => heard.some((one) => one.event === event)", event)
        return next(one["data"] for one in self.run("heard") if one["event"] == event)

    def events(self) -> list[tuple[str, object]]:
        """Names and data of the events so far, pusher-js's own left out."""
        return [(one["event"], one["data"]) for one in self.run("heard") if not one["event"].startswith("pusher:")]
