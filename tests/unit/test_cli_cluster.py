"""`relay serve`: what all nodes of a cluster agree on is told in `[cluster]`, whichever the engine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from relay.cli import build_parser, configuration
from relay.cli.engines import cluster_of
from relay.cluster.nats import NatsCluster, NatsSettings
from relay.cluster.redis import RedisCluster, RedisSettings
from relay.config import Config
from tests.unit.command import APP, CREDENTIALS, run, sentence

REDIS, NATS = "redis://:hush-hush@h:1", "nats://hush:hush@h:1"
ENGINES = [(REDIS, RedisSettings), (NATS, NatsSettings)]
OTHERS = {
    "prefix": "shop",
    "lease": 20.0,
    "beat": 4.0,
    "patience": 3.0,
    "proof": 0.5,
    "in_flight": 100,
    "forget": 3600.0,
    "shards": 4,
    "storage": "file",
    "replicas": 3,
}
"""A value for each setting that is not its default."""
FIELDS = [(url, kind, field) for url, kind in ENGINES for field in kind.__struct_fields__]


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "relay.toml"
        path.write_text(text + "\n" + APP)
        return path

    return write


def config_of(*flags: str | Path) -> Config:
    return configuration(build_parser().parse_args(["serve", *map(str, flags)]))


def toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.mark.parametrize(("url", "kind", "field"), FIELDS)
def test_every_setting_of_an_engine_is_a_key_of_the_file(file, url, kind, field):
    value = OTHERS[field]
    config = config_of("--config", file(f'[cluster]\nurl = "{url}"\n{field} = {toml(value)}'))
    assert (config.server.cluster, config.cluster) == (url, {field: value})
    settings = kind(**config.cluster)
    assert getattr(settings, field) == value != getattr(kind(), field)
    assert isinstance(cluster_of(url, config.cluster), RedisCluster | NatsCluster)


def test_flags_win_over_the_file(file):
    told = file(f'[cluster]\nurl = "{REDIS}"\nprefix = "shop"\nlease = 20')
    config = config_of("--config", told, "--cluster", "redis://other", "--cluster-prefix", "stage")
    assert (config.server.cluster, config.cluster) == ("redis://other", {"prefix": "stage", "lease": 20})


def test_the_url_may_come_from_the_environment_where_nobody_sees_its_password(monkeypatch, file):
    monkeypatch.setenv("RELAY_CLUSTER_URL", REDIS)
    assert config_of(*CREDENTIALS).server.cluster == REDIS
    assert config_of("--config", file("[cluster]\nlease = 20")).server.cluster == REDIS
    assert config_of("--config", file('[cluster]\nurl = "redis://h"')).server.cluster == "redis://h"
    assert config_of(*CREDENTIALS, "--cluster", NATS).server.cluster == NATS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("leese = 1", "cluster: unknown key 'leese'; did you mean 'lease'?"),
        ("lease = 0", "cluster: lease must be more than 0 seconds, got 0.0"),
        ("lease = 3\nbeat = 2", "cluster: a lease of 3.0 s needs a beat of 1.5 s at most, got 2.0"),
        ('lease = "long"', "cluster: Expected `float`, got `str` - at `$.lease`"),
        ("shards = 1.5", "cluster: Expected `int | null`, got `float` - at `$.shards`"),
        ('prefix = "{"', "cluster: prefix must not be empty and have no braces, got '{'"),
        ("replicas = 3", "cluster: unknown key 'replicas'; allowed: prefix, lease, "),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(capsys, file, text, told):
    path = file(f'[cluster]\nurl = "{REDIS}"\n{text}')
    assert told in sentence(run(capsys, "serve", "--config", path))


def test_a_setting_of_the_other_engine_is_not_taken(capsys, file):
    path = file(f'[cluster]\nurl = "{NATS}"\nshards = 4')
    assert "cluster: unknown key 'shards'; " in sentence(run(capsys, "serve", "--config", path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[cluster]\nlease = 20", "cluster: lease is for an engine, and none is named: add url, or --cluster"),
        ("[cluster]\nurl = 1", "cluster: url should be text, got int"),
        ("cluster = 1", "cluster: should be a table, got int"),
        (f'[server]\ncluster = "{REDIS}"\n[cluster]\nurl = "{REDIS}"', "the URL of the engine is told twice"),
        ('[cluster]\nurl = "hush"', "--cluster is redis://HOST:PORT or nats://HOST:PORT, got something that is no URL"),
        (
            '[cluster]\nurl = "redis://:pa/hush@h"',
            "the port is a number from 1 to 65535 (in a name or password / is %2F",
        ),
    ],
)
def test_a_table_that_cannot_be_is_one_sentence(capsys, file, text, told):
    assert told in sentence(run(capsys, "serve", "--config", file(text)))


def test_a_prefix_without_an_engine_is_refused(capsys):
    told = sentence(run(capsys, "serve", *CREDENTIALS, "--cluster-prefix", "shop"))
    assert told.startswith("cluster: prefix is for an engine, and none is named")


def test_a_prefix_that_cannot_be_is_one_sentence(capsys):
    flags = ("--cluster", NATS, "--cluster-prefix", "a.b")
    assert "cluster: prefix is 1 to 32 letters" in sentence(run(capsys, "serve", *CREDENTIALS, *flags))


def test_workers_find_their_engine_in_the_table(file):
    config = config_of("--config", file(f'[server]\nworkers = 2\n[cluster]\nurl = "{REDIS}"'))
    assert (config.server.workers, config.server.cluster) == (2, REDIS)
