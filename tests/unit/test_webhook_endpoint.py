"""Where webhooks go to: what is allowed, what is told about what is not, and no secret in it."""

from __future__ import annotations

import pytest

from relay import App, UsageError, WebhookEndpoint

TABLE = '[[apps]]\nid = "1"\nkey = "k"\nsecret = "s"\n'


def endpoint(**fields: object) -> WebhookEndpoint:
    return WebhookEndpoint(**{"url": "https://example.com/webhooks", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "https://example.com:8443/a/b?token=c",
        "http://[::1]:9000/",
        "HTTPS://EXAMPLE.COM/",
        "http://10.0.0.1",
    ],
)
def test_http_addresses_are_allowed(url):
    assert endpoint(url=url).url == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("example.com/webhooks", "http or https, got 'no scheme'"),
        ("ftp://example.com/", "http or https, got 'ftp'"),
        ("https://", "it has no host"),
        ("https:///path", "it has no host"),
        ("https://ada:hush@example.com/", "without a user and password before 'example.com'"),
        ("https://example.com/#part", "without a '#'"),
        ("https://example.com/a b", "ASCII without spaces"),
        ("https://example.com/\r\nX: y", "ASCII without spaces"),
        ("https://ex\u00e4mple.com/", "ASCII without spaces"),
        ("https://example.com:99999/", "host or port cannot be read"),
        ("https://[::1/", "host or port cannot be read"),
        (7, "got int"),
    ],
)
def test_other_addresses_are_refused_without_telling_a_password(url, told):
    with pytest.raises(UsageError, match="a webhook's url must look like") as refused:
        endpoint(url=url)
    assert told in str(refused.value)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"events": ("channel_vacate",)}, "got 'channel_vacate'; did you mean 'channel_vacated'?"),
        ({"events": ("everything",)}, "are of channel_occupied, channel_vacated, member_added, "),
        ({"events": ()}, "a tuple of one or more kinds"),
        ({"events": "cache_miss"}, "a tuple of one or more kinds"),
        ({"events": (7,)}, "got 7"),
        ({"channel_prefixes": ("",)}, "strings that are not empty"),
        ({"channel_prefixes": "presence-"}, "must be a tuple"),
        ({"headers": {"X-Pusher-Key": "k"}}, "header X-Pusher-Key is set by Relay"),
        ({"headers": {"content-type": "text/plain"}}, "header content-type is set by Relay"),
        ({"headers": {"X Y": "v"}}, "names of letters, digits and '-', got 'X Y'"),
        ({"headers": {"X": "hush\r\nY: z"}}, "value of a webhook's header X must be text of printable ASCII"),
        ({"headers": {"X": 7}}, "value of a webhook's header X"),
        ({"headers": [("X", "y")]}, "a mapping of names to values, got list"),
        ({"batching": 1}, "batching must be True or False, got 1"),
        ({"batch_interval": -1}, "batch_interval must be a number of seconds up to 60, got -1"),
        ({"batch_interval": True}, "batch_interval must be a number of seconds up to 60, got True"),
        ({"timeout": 61}, "timeout must be a number of seconds up to 60, got 61"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds"),
        ({"batch_size": 0}, "batch_size must be a whole number above 0, got 0"),
        ({"max_queued": 1.5}, "max_queued must be a whole number above 0, got 1.5"),
        ({"max_queued_bytes": True}, "max_queued_bytes must be a whole number above 0, got True"),
    ],
)
def test_what_cannot_be_is_told(fields, told):
    with pytest.raises(UsageError) as refused:
        endpoint(**fields)
    assert told in str(refused.value)
    assert "hush" not in str(refused.value)


def test_what_may_be_secret_is_not_shown():
    made = endpoint(url="https://example.com/w?token=hush", headers={"Authorization": "Bearer hush"})
    assert repr(made) == "WebhookEndpoint('https://example.com/w?***', headers={'Authorization': '***'})"
    assert "hush" not in f"{made.__rich_repr__()} {made.shown} {App(id='1', key='k', secret='s', webhooks=(made,))!r}"


def test_endpoint_can_be_hashed_as_its_app_can():
    app = App(id="1", key="k", secret="s", webhooks=(endpoint(headers={"X": "y"}),))
    assert {app: 1}[app] == 1


def test_kinds_and_prefixes_filter():
    every, some = endpoint(), endpoint(events=("cache_miss",), channel_prefixes=("cache-a", "private-cache-"))
    assert every.wants("channel_occupied", "orders")
    assert some.wants("cache_miss", "private-cache-x")
    assert not some.wants("cache_miss", "cache-b")
    assert not some.wants("channel_occupied", "cache-a")


def test_webhooks_of_a_file_are_those_of_python():
    text = f"""{TABLE}webhook_private_addresses = false
[[apps.webhooks]]
url = "https://example.com/webhooks"
events = ["member_added", "member_removed"]
channel_prefixes = ["presence-"]
headers = {{ Authorization = "Bearer token" }}
batching = true
batch_interval = 0.2
[[apps.webhooks]]
url = "http://127.0.0.1:9000"
"""
    [app] = App.from_toml(text)
    assert app.webhooks == (
        endpoint(
            events=("member_added", "member_removed"),
            channel_prefixes=("presence-",),
            headers={"Authorization": "Bearer token"},
            batching=True,
            batch_interval=0.2,
        ),
        WebhookEndpoint("http://127.0.0.1:9000"),
    )
    assert app.webhook_private_addresses is False


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            "[[apps.webhooks]]\nurl = 'https://a'\nevnts = []",
            "apps[0]: webhooks[0]: unknown key 'evnts'; did you mean 'events'?",
        ),
        ("[[apps.webhooks]]\nevents = ['cache_miss']", "missing required field `url` - at `$.webhooks[0]`"),
        ("[[apps.webhooks]]\nurl = 'ftp://a'", "http or https, got 'ftp' - at `$.webhooks[0]`"),
        ("webhooks = ['https://a']", "Expected `object`, got `str` - at `$.webhooks[0]`"),
        ("webhooks = 'https://a'", "Expected `array`, got `str` - at `$.webhooks`"),
    ],
)
def test_what_cannot_be_in_a_file_is_told_with_its_place(lines, told):
    with pytest.raises(UsageError) as refused:
        App.from_toml(TABLE + lines)
    assert told in str(refused.value)


@pytest.mark.parametrize("webhooks", ["https://a", ["https://a"], ("https://a",), None])
def test_app_takes_endpoints_and_nothing_else(webhooks):
    with pytest.raises(UsageError, match="webhooks must be a tuple of WebhookEndpoint"):
        App(id="1", key="k", secret="s", webhooks=webhooks)
