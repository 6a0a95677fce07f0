"""`relay.toml`: what it may say, and that each mistake is one sentence naming the nearest valid thing."""

from __future__ import annotations

import pytest

from relay import UsageError
from relay.config import ServerConfig, parse_config

APP = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "hush-hush"\n'


def test_file_with_apps_alone_gets_the_default_server():
    config = parse_config(APP)
    assert config.server == ServerConfig()
    assert config.server.address == ("127.0.0.1", 6001)
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


def test_file_may_hold_the_encryption_master_key():
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert parse_config(APP + f'encryption_master_key = "{key}"\n').apps[0].encryption_master_key == key


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (APP + 'encryption_master_key = "hush"', "apps[0]: App.encryption_master_key must be base64 of 32 bytes"),
        (APP + "encryption_master_key = 7", "apps[0]: "),
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
        ("x = 1\n" + APP, "unknown key 'x'; allowed: server, cluster, apps"),
        ("[server]\nprot = 1\n" + APP, "server: unknown key 'prot'; did you mean 'port'?"),
        ("[server]\nx = 1\n" + APP, "server: unknown key 'x'; allowed: host, port, prefix, unix, tls_cert, "),
        (APP + "max_batches = 1", "apps[0]: unknown key 'max_batches'; did you mean 'max_batch'?"),
        ("server = 5\n" + APP, "server: should be a table, got int"),
        ("[[server]]\n" + APP, "server: should be a table, got list"),
        ('[server]\nport = "x"\n' + APP, "server: Expected `int | null`, got `str` - at `$.port`"),
        ("[server]\nhost = 5\n" + APP, "server: Expected `str | null`, got `int` - at `$.host`"),
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


WHERE = '[server]\nunix = "/run/relay.sock"\n'


@pytest.mark.parametrize(
    ("more", "address"),
    [
        ("", None),
        ("port = 0\n", ("127.0.0.1", 0)),
        ('host = "::1"\n', ("::1", 6001)),
        ('host = ""\nport = 80\n', ("", 80)),
    ],
)
def test_unix_socket_stands_alone_unless_an_address_is_given_too(more, address):
    assert parse_config(WHERE + more + APP).server.address == address


def test_file_may_say_all_that_the_flags_of_the_server_say():
    tls, proxies = 'tls_cert = "c"\ntls_key = "k"\n', 'forwarded_from = ["unix"]\nmax_connections_per_address = 9\n'
    server = parse_config(f"[server]\n{tls}{proxies}{APP}").server
    assert server == ServerConfig(tls_cert="c", tls_key="k", forwarded_from=("unix",), max_connections_per_address=9)
    server = parse_config(f"[server]\nfallbacks = false\nmax_fallback_sessions = 9\n{APP}").server
    assert server == ServerConfig(fallbacks=False, max_fallback_sessions=9)
    assert parse_config(f"[server]\nhold = 1000\n{APP}").server == ServerConfig(hold=1000)


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ('forwarded_from = "unix"', "server: Expected `array`, got `str` - at `$.forwarded_from`"),
        ("forwarded_from = [5]", "server: Expected `str`, got `int` - at `$.forwarded_from[0]`"),
        ('max_connections_per_address = "5"', "server: Expected `int | null`, got `str`"),
        ('max_fallback_sessions = "5"', "server: Expected `int`, got `str` - at `$.max_fallback_sessions`"),
        ('tls_crt = "c"', "server: unknown key 'tls_crt'; did you mean 'tls_cert'?"),
        ("unix = 5", "server: Expected `str | null`, got `int` - at `$.unix`"),
        ("unix = ''", "the path of the Unix socket must not be empty"),
        ('tls_cert = "c"', "only the certificate is given: add --tls-key"),
        ("hold = -1", "server: hold is a number of events from 0 on, got -1"),
        ("hold = 1.5", "server: Expected `int`, got `float` - at `$.hold`"),
        ("port = 70000", "server: port is a number from 0 to 65535, got 70000"),
    ],
)
def test_server_that_cannot_be_is_one_sentence(server, says):
    with pytest.raises(UsageError) as refused:
        parse_config(f"[server]\n{server}\n{APP}").server.check()
    assert says in str(refused.value)


def test_file_lists_the_origins_of_an_app():
    [app] = parse_config(APP + 'allowed_origins = ["https://a.example", "http://[::1]:3000"]').apps
    assert app.allowed_origins == ("https://a.example", "http://[::1]:3000")


@pytest.mark.parametrize(
    ("origins", "says"),
    [
        ('"https://a.example"', "apps[0]: Expected `array`, got `str` - at `$.allowed_origins`"),
        ("[5]", "apps[0]: Expected `str`, got `int` - at `$.allowed_origins[0]`"),
        ('["https://a.example/"]', "apps[0]: App.allowed_origins must hold what browsers send, "),
        ('["https://a.example:443"]', "they leave the default port out, and so must 'https://a.example:443'"),
    ],
)
def test_origins_that_cannot_be_are_one_sentence(origins, says):
    with pytest.raises(UsageError) as refused:
        parse_config(APP + f"allowed_origins = {origins}")
    assert says in str(refused.value)


def test_workers_do_not_serve_clients_over_http_which_each_know_one_of_them():
    text = f'[server]\nworkers = 2\ncluster = "redis://x"\n{APP}'
    parse_config(text).server.check()
    with pytest.raises(UsageError, match="a client over HTTP is known to one process"):
        parse_config(text.replace("workers", "fallbacks = true\nworkers")).server.check()
