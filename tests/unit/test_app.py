"""An App: where it comes from, what it refuses, and that it keeps its secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from relay import App, UsageError

SECRET = "hush-hush"
CREDENTIALS: dict[str, Any] = {"id": "1001", "key": "app-key", "secret": SECRET}
FORM = "https://KEY:SECRET@HOST/apps/APP_ID"


def refusal(refused: pytest.ExceptionInfo[UsageError]) -> str:
    """What a refusal says: one line that does not tell the secret."""
    text = str(refused.value)
    assert "\n" not in text
    assert "hush" not in text
    return text


def credentials(app: App) -> tuple[str, str, str]:
    return app.id, app.key, app.secret


# What it is


def test_app_has_the_protocols_limits():
    app = App(**CREDENTIALS)
    assert (app.activity_timeout, app.pong_timeout, app.client_event_rate) == (120, 30, 10)
    assert (app.max_event_bytes, app.max_event_channels, app.max_batch) == (10_240, 100, 10)
    assert (app.cache_ttl, app.max_cached_channels, app.max_cached_bytes) == (1800, 10_000, 16 << 20)
    assert (app.max_members, app.max_user_id, app.max_user_info_bytes) == (100, 128, 1024)
    assert (app.slow_consumers, app.max_backlog_frames, app.flush_interval) == ("disconnect", 10_000, 0)
    assert (app.enabled, app.client_events, app.tls_only) == (True, False, False)


def test_repr_tells_who_it_is_and_no_secret():
    assert repr(App(**CREDENTIALS)) == "App(id='1001', key='app-key', secret='***')"
    assert SECRET not in f"{App(**CREDENTIALS)!s} {[App(**CREDENTIALS)]}"


def test_rich_shows_no_secret_either():
    """Rich prints an object, and the locals of a traceback, by ``__rich_repr__``, which structs have."""
    shown: Callable[[], Iterable[object]] = getattr(App(**CREDENTIALS), "__rich_repr__", list)
    assert SECRET not in str(list(shown()))


def test_nothing_shows_the_encryption_master_key():
    key = "aHVzaC1odXNoLWh1c2gtaHVzaC1odXNoLWh1c2gtaHU="
    app = App(**CREDENTIALS, encryption_master_key=key)
    assert app.encryption_master_key == key
    assert key not in f"{app!r} {app!s} {list(app.__rich_repr__())}"


def test_app_cannot_be_changed():
    with pytest.raises(AttributeError):
        App(**CREDENTIALS).secret = "other"  # type: ignore[misc]


# What it refuses


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("id", "", "a string that is not empty"),
        ("id", 1001, "a string that is not empty, got int"),
        ("id", "10/01", "no slash, space or control character, got '10/01'"),
        ("key", "", "a string that is not empty"),
        ("key", None, "a string that is not empty, got NoneType"),
        ("key", "app key", "no slash, space or control character, got 'app key'"),
        ("key", "app\nkey", "no slash, space or control character, got 'app\\nkey'"),
        ("secret", "", "a string that is not empty"),
        ("secret", b"hush", "a string that is not empty, got bytes"),
        ("secret", "hush\udcff", ""),  # half a character of an environment that is no UTF-8
        ("activity_timeout", 0, "a whole number above 0, got 0"),
        ("pong_timeout", -1, "a whole number above 0, got -1"),
        ("max_backlog", 1.5, "a whole number above 0, got 1.5"),
        ("max_backlog_frames", 0, "a whole number above 0, got 0"),
        ("slow_consumers", "drop", "one of 'disconnect', 'drop_oldest', 'latest_only', got 'drop'"),
        ("slow_consumers", "latest", "got 'latest'; did you mean 'latest_only'?"),
        ("slow_consumers", None, "got None"),
        ("flush_interval", 1.5, "a number of seconds from 0 to 1, got 1.5"),
        ("flush_interval", -0.1, "got -0.1"),
        ("flush_interval", float("nan"), "got nan"),
        ("flush_interval", "0.1", "got '0.1'"),
        ("flush_interval", True, "got True"),
        ("encryption_master_key", 7, "base64 of 32 bytes, as 'openssl rand -base64 32' prints it, got int"),
        ("encryption_master_key", "", "got base64 of 0 bytes"),
        ("encryption_master_key", "hush", "got base64 of 3 bytes"),
        ("encryption_master_key", "hush-hush", "got text that is no base64"),
        ("encryption_master_key", "hush\udcff", "got text that is no base64"),
        ("max_batch", "10", "a whole number above 0, got '10'"),
        ("max_event_bytes", True, "a whole number above 0, got True"),
        ("max_connections", -1, "got -1"),
        ("max_connections", "10", "got '10'"),
        ("enabled", "false", "got 'false'"),
        ("client_events", "no", "got 'no'"),
        ("allowed_origins", "https://a.example", "a tuple of origins, got 'https://a.example'"),
        ("allowed_origins", ["https://a.example"], "a tuple of origins, got ['https://a.example']"),
        ("allowed_origins", None, "a tuple of origins, got None"),
        ("allowed_origins", (5,), "got 5"),
        ("allowed_origins", ("",), "got ''"),
        ("allowed_origins", ("null",), "what browsers send, "),
        ("allowed_origins", ("*",), "got '*'"),
        ("allowed_origins", ("https://*.example",), "got 'https://*.example'"),
        ("allowed_origins", ("a.example",), "such as 'https://example.com', got 'a.example'"),
        ("allowed_origins", ("https://a.example/",), "nothing behind the host or port"),
        ("allowed_origins", ("https://a.example/path",), "got 'https://a.example/path'"),
        ("allowed_origins", ("https://A.example",), "in lower case"),
        ("allowed_origins", ("https://a.example\n",), "got 'https://a.example\\n'"),
        ("allowed_origins", ("https://user@a.example",), "got 'https://user@a.example'"),
        ("allowed_origins", ("https://a.example", "http://b.example:80"), "so must 'http://b.example:80'"),
    ],
)
def test_value_that_cannot_work_is_refused_with_what_could(field, value, allowed):
    with pytest.raises(UsageError, match=rf"^App\.{field} ") as refused:
        App(**{**CREDENTIALS, field: value})
    assert allowed in refusal(refused)


@pytest.mark.parametrize("missing", CREDENTIALS)
def test_credentials_have_no_default(missing):
    with pytest.raises(TypeError, match=missing):
        App(**{name: value for name, value in CREDENTIALS.items() if name != missing})


# From a URL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://app-key:hush@api.example/apps/1001", ("1001", "app-key", "hush")),
        ("http://app-key:hush@127.0.0.1:6001/apps/1001/", ("1001", "app-key", "hush")),
        ("https://app-key:hush@[::1]:6001/realtime/apps/1001", ("1001", "app-key", "hush")),
        ("https://app-key:h%2Fu%40s%3Ah@host/apps/1001", ("1001", "app-key", "h/u@s:h")),
        ("HTTPS://app-key:hu:sh@host/apps/1001?x=y#z", ("1001", "app-key", "hu:sh")),
    ],
)
def test_app_from_a_url(url, expected):
    assert credentials(App.from_url(url)) == expected


@pytest.mark.parametrize(
    ("url", "lacks"),
    [
        ("", "a scheme http or https"),
        ("app-key", "a scheme http or https"),
        ("ftp://app-key:hush@host/apps/1001", "a scheme http or https"),
        ("app-key:hush-hush@host/apps/1001", "a scheme http or https"),
        ("//app-key:hush-hush@host/apps/1001", "a scheme http or https"),
        ("https://host/apps/1001", "a key"),
        ("https://:hush@host/apps/1001", "a key"),
        ("https://app-key@host/apps/1001", "a secret"),
        ("https://app-key:@host/apps/1001", "a secret"),
        ("https://app-key:hush@/apps/1001", "a host"),
        ("https://app-key:hush@host", "a path ending in /apps/APP_ID"),
        ("https://app-key:hush@host/apps/", "a path ending in /apps/APP_ID"),
        ("https://app-key:hush@host/app/1001", "a path ending in /apps/APP_ID"),
        ("https://app-key:hush@host/apps/1001/events", "a path ending in /apps/APP_ID"),
        ("https://app-key:mmm/hush@host/apps/1001", FORM),
        ("https://app-key:hush#mmm@host/apps/1001", FORM),
        ("https://app-key:hush?mmm@host/apps/1001", FORM),
        ("https://app-key:hush[mmm@host/apps/1001", FORM),
        ("https://app-key:hush\u2100@host/apps/1001", FORM),
    ],
)
def test_bad_url_is_told_what_it_lacks_and_the_right_form(url, lacks):
    with pytest.raises(UsageError) as refused:
        App.from_url(url)
    text = refusal(refused)
    assert lacks in text
    assert FORM in text


@pytest.mark.parametrize("url", ["https://app%20key:hush@host/apps/1001", "https://app-key:hush@host/apps/10 01"])
def test_url_with_impossible_credentials_is_refused(url):
    with pytest.raises(UsageError, match="stands in URLs") as refused:
        App.from_url(url)
    assert refusal(refused)


def test_url_may_come_with_other_settings():
    app = App.from_url("https://app-key:hush@host/apps/1001", {"client_events": True, "max_batch": 5})
    assert (app.client_events, app.max_batch) == (True, 5)


def test_unknown_setting_is_refused_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"unknown key 'client_event'; did you mean 'client_events'\?"):
        App.from_url("https://app-key:hush@host/apps/1001", {"client_event": True})


# From the environment


@pytest.mark.parametrize(
    "environ",
    [
        {"PUSHER_URL": "https://app-key:hush@host/apps/1001"},
        {"PUSHER_APP_ID": "1001", "PUSHER_KEY": "app-key", "PUSHER_SECRET": "hush"},
        {"PUSHER_APP_ID": "1001", "PUSHER_APP_KEY": "app-key", "PUSHER_APP_SECRET": "hush"},
        {"PUSHER_URL": "", "PUSHER_APP_ID": "1001", "PUSHER_KEY": "app-key", "PUSHER_SECRET": "hush"},
        {"PUSHER_URL": "https://app-key:hush@host/apps/1001", "PUSHER_APP_ID": "1", "PUSHER_KEY": "x"},
    ],
)
def test_app_from_the_environment(environ, monkeypatch):
    assert credentials(App.from_env(environ)) == ("1001", "app-key", "hush")
    for name in ("PUSHER_URL", "PUSHER_APP_ID", "PUSHER_KEY", "PUSHER_SECRET", "PUSHER_APP_KEY", "PUSHER_APP_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert credentials(App.from_env()) == ("1001", "app-key", "hush")


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET"),
        ({"PUSHER_APP_ID": "1001", "PUSHER_SECRET": "hush"}, "PUSHER_KEY"),
        ({"PUSHER_APP_ID": "1001", "PUSHER_KEY": "app-key", "PUSHER_SECRET": ""}, "PUSHER_SECRET"),
        ({"PUSHER_KEY": "app-key", "PUSHER_SECRET": "hush"}, "PUSHER_APP_ID"),
    ],
)
def test_environment_is_told_what_it_lacks_and_the_other_way(environ, missing):
    with pytest.raises(UsageError) as refused:
        App.from_env(environ)
    assert refusal(refused) == f"environment lacks {missing}: set them, or PUSHER_URL={FORM}"


# From TOML


def test_apps_from_toml_with_their_own_settings():
    first, second = App.from_toml(
        """
        [[apps]]
        id = "1001"
        key = "first"
        secret = "hush"
        client_events = true
        max_connections = 5

        [[apps]]
        id = "1002"
        key = "second"
        secret = "hush"
        enabled = false
        """
    )
    assert (first.key, first.client_events, first.max_connections, first.enabled) == ("first", True, 5, True)
    assert (second.key, second.client_events, second.max_connections, second.enabled) == ("second", False, None, False)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ('key = "k"\nsecret = "hush"', r"^apps\[0\]: Object missing required field `id`"),
        ('id = 1001\nkey = "k"\nsecret = "hush"', r"^apps\[0\]: Expected `str`, got `int` - at `\$.id`"),
        ('id = "1"\nkey = "k"\nsecret = 5', r"^apps\[0\]: Expected `str`, got `int` - at `\$.secret`"),
        ('id = "1"\nkey = "k"\nsecret = ["hush"]', r"^apps\[0\]: Expected `str`, got `array` - at `\$.secret`"),
        ('id = "1"\nkey = "k"\nsecret = "hush"\nenabled = "no"', r"^apps\[0\]: Expected `bool`, got `str`"),
        ('id = "1"\nkey = "k k"\nsecret = "hush"', r"^apps\[0\]: App.key stands in URLs"),
        ('id = "1"\nkey = "k"\nsecret = "hush"\nmax_batch = 0', r"^apps\[0\]: App.max_batch must be a whole number"),
        ('id = "1"\nkey = "k"\nsecret = "hush"\nmax_batch = 1.5', r"^apps\[0\]: Expected `int`, got `float`"),
        ('id = "1"\nkey = "k"\nsecret = "hush"\nmax_bach = 1', r"^apps\[0\]: unknown key 'max_bach'; .* 'max_batch'\?"),
        ('id = "1"\nkey = "k"\nsecrte = "hush"', r"^apps\[0\]: unknown key 'secrte'; did you mean 'secret'\?"),
        ('id = "1"\nkey = "k"\nsecret = "hush"\nzzz = 1', r"^apps\[0\]: unknown key 'zzz'; allowed: id, key, secret, "),
        ('id = "1"\nkey = "k"\nsecret = hush', r"^not TOML: "),
        ('id = "1"\nkey = "k"\nsecret = "hush', r"^not TOML: "),
        ('id = "1"\nid = "2"\nkey = "k"\nsecret = "hush"', r"^not TOML: "),
    ],
)
def test_bad_table_is_refused_with_its_place_and_the_nearest_valid_thing(table, text):
    with pytest.raises(UsageError, match=text) as refused:
        App.from_toml(f"[[apps]]\n{table}\n")
    assert refusal(refused)


@pytest.mark.parametrize("text", ["", "[apps]\nid='1'", "apps = []", "apps = 'x'", "[[app]]\nid='1'"])
def test_text_without_apps_is_told_what_to_write(text):
    with pytest.raises(UsageError, match=re.escape("at least one [[apps]] table with id, key and secret")):
        App.from_toml(text)


def test_second_bad_table_is_named_as_such():
    good = '[[apps]]\nid = "1"\nkey = "k"\nsecret = "hush"\n'
    with pytest.raises(UsageError, match=r"^apps\[1\]: "):
        App.from_toml(f"{good}[[apps]]\nid = '2'\n")
