"""What may be said about a NATS, and what is answered to the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import UsageError
from relay.cluster.broker import Proving
from relay.cluster.nats import NatsCluster, NatsSettings
from relay.cluster.nats.address import Address
from relay.cluster.nats.subjects import Subjects, last, name_of, place, token


@pytest.mark.parametrize(
    "url",
    [
        "nats://127.0.0.1:1",
        "nats://user:pass@localhost",
        "NATS://user:pass@a,Nats://b",
        "tls://token@127.0.0.1:1",
        "nats://a:1,b:2",
        "nats://a,nats://b",
        "nats://user:pass@a,b",
        "nats://[::1]:4222/",
        "tls://a?storage=file&replicas=3",
    ],
)
def test_a_url_is_taken_and_nothing_is_connected(url):
    assert isinstance(NatsCluster(url).broker, Proving)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1",
        "http://user:hunter2@127.0.0.1",
        "nats://:hunter2@127.0.0.1:port",
        "nats://:hunter2@",
        "tls://:hunter2@a,nats://b",
        "nats://a:1,,b",
        "nats://a,user:hunter2@b",
        "nats://user:hunter2/@a",
        "nats://user:hunter2#@a",
        "nats://user:hunter2?@a",
        "nats://user:hunter2,@a",
        "nats://:12,hunter2@a",
        "nats://a:1?hunter2",
        "nats://a:1?hunter2=1",
        "nats://a:1?replicas=",
        "nats://a:1?replicas=1&replicas=2",
        "nats://user:hunter2@a:1?tls_ca=ca.pem",
        "tls://user:hunter2@a:1?tls_cert=a.pem",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_what_is_secret(url):
    with pytest.raises(UsageError, match="no NATS URL") as refused:
        NatsCluster(url)
    assert "hunter2" not in str(refused.value)


def test_a_login_may_have_any_characters_and_is_that_of_the_servers_that_have_none():
    servers = Address("nats://ada:p%40ss%2Cword@a,b:1,to%2Fken@[::1]").servers
    assert [(server.place, server.login) for server in servers] == [
        ("a:4222", {"user": "ada", "password": "p@ss,word"}),
        ("b:1", {"user": "ada", "password": "p@ss,word"}),
        ("[::1]:4222", {"token": "to/ken"}),
    ]


def test_what_the_url_says_of_its_nats_goes_before_the_settings():
    settings = Address("nats://a?storage=file&replicas=3", NatsSettings(prefix="shop", replicas=5)).settings
    assert (settings.prefix, settings.storage, settings.replicas) == ("shop", "file", 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("replicas=9", "replicas is from 1 to 5, got 9"),
        ("replicas=x", "replicas is from 1 to 5"),
        ("storage=disk", "storage is memory or file, got 'disk'"),
        ("tls_ca=/no/such/file", "No such file or directory; got tls_ca=/no/such/file"),
        ("tls_ca={wrong}", "NO_CERTIFICATE_OR_CRL_FOUND"),
        ("tls_cert={wrong}&tls_key={wrong}", "cannot be used"),
    ],
)
def test_what_the_url_says_beyond_its_servers_is_checked_at_once(options, told, tmp_path):
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(UsageError) as refused:
        NatsCluster("tls://user:hunter2@a?" + options.format(wrong=wrong))
    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": ""},
        {"prefix": "a.b"},
        {"prefix": "a b"},
        {"lease": 0.0},
        {"lease": 3.0, "beat": 2.0},
        {"patience": float("inf")},
        {"forget": 20.0},
        {"in_flight": 0},
        {"storage": "disk"},
        {"replicas": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        NatsSettings(**wrong)


@given(st.text(), st.text())
def test_a_name_is_one_token_that_is_no_others_and_gives_the_name_back(one, other):
    made = token(one)
    assert name_of(made) == one
    assert not set(made) & set(". *>\t\r\n\0/\\")
    assert (made == token(other)) == (one == other)


@given(*[st.text()] * 4)
def test_no_two_channels_meet(app, channel, other_app, other_channel):
    names = Subjects("relay")
    same = (app, channel) == (other_app, other_channel)
    assert (place(app, channel) == place(other_app, other_channel)) == same
    if channel and other_channel:
        assert (names.topic(app, channel) == names.topic(other_app, other_channel)) == same
    assert last(place(app, channel)) == channel


@given(st.text(alphabet="_=-.*>aZ09é"))
def test_a_key_that_is_not_ours_has_no_name_or_one_that_is_written_so(key):
    name = last(key)
    assert name is None or isinstance(name, str)
