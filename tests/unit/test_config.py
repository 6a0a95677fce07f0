"""`relay.toml`: what it may say, and that each mistake is one sentence naming the nearest valid thing."""

from __future__ import annotations

import pytest

from relay import UsageError
from relay.config import ServerConfig, parse_config

APP = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "hush-hush"\n'


def test_file_with_apps_alone_gets_the_default_server():
    config = parse_config(APP)
    assert config.server == ServerConfig(host="127.0.0.1", port=6001, prefix="")
    assert [app.id for app in config.apps] == ["1001"]


def test_file_with_a_server_and_several_apps():
    config = parse_config(
        '[server]\nhost = "::1"\nport = 0\nprefix = "/realtime"\n' + APP + APP.replace("1001", "1002")
    )
    assert config.server == ServerConfig(host="::1", port=0, prefix="/realtime")
    assert [app.id for app in config.apps] == ["1001", "1002"]


def test_file_says_what_becomes_of_slow_clients():
    text = 'slow_consumers = "latest_only"\nmax_backlog = 5000\nmax_backlog_frames = 50\nflush_interval = 0.05\n'
    [app] = parse_config(APP + text).apps
    assert (app.slow_consumers, app.max_backlog, app.max_backlog_frames) == ("latest_only", 5000, 50)
    assert app.flush_interval == 0.05


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            APP + 'slow_consumers = "drop_olest"',
            "App.slow_consumers must be one of 'disconnect', 'drop_oldest', 'latest_only', got 'drop_olest'; did you",
        ),
        (APP + 'slow_consumers = "latest"', "'latest_only', got 'latest'; did you mean 'latest_only'?"),
        (APP + "slow_consumers = 5", "apps[0]: App.slow_consumers must be one of "),
        (APP + "slow_consumer = 5", "apps[0]: unknown key 'slow_consumer'; did you mean 'slow_consumers'?"),
        (APP + "flush_interval = 5", "apps[0]: App.flush_interval must be a number of seconds from 0 to 1, got 5"),
        ("[sever]\n" + APP, "unknown key 'sever'; did you mean 'server'?"),
        (APP.replace("apps", "app"), "unknown key 'app'; did you mean 'apps'?"),
        ("x = 1\n" + APP, "unknown key 'x'; allowed: server, apps"),
        ("[server]\nprot = 1\n" + APP, "server: unknown key 'prot'; did you mean 'port'?"),
        ("[server]\nx = 1\n" + APP, "server: unknown key 'x'; allowed: host, port, prefix"),
        (APP + "max_batches = 1", "apps[0]: unknown key 'max_batches'; did you mean 'max_batch'?"),
        ("server = 5\n" + APP, "server: should be a table, got int"),
        ("[[server]]\n" + APP, "server: should be a table, got list"),
        ('[server]\nport = "x"\n' + APP, "server: Expected `int`, got `str` - at `$.port`"),
        ("[server]\nhost = 5\n" + APP, "server: Expected `str`, got `int` - at `$.host`"),
        ("", "at least one [[apps]] table"),
        ("[server]\n", "at least one [[apps]] table"),
        ("apps = [5]", "apps[0]: should be a table of App fields, got int"),
        ("{", "not TOML: "),
        (APP + 'secret = "again"', "not TOML: "),
    ],
)
def test_mistake_is_one_sentence_that_names_the_nearest_valid_thing(text, says):
    with pytest.raises(UsageError) as refused:
        parse_config(text)
    message = str(refused.value)
    assert says in message
    assert "\n" not in message
    assert "hush" not in message
