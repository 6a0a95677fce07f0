"""What may be said about a NATS, and what is answered to the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import UsageError
from relay.cluster.broker import Proving
from relay.cluster.nats import NatsCluster, NatsSettings
from relay.cluster.nats.subjects import Subjects, last, name_of, place, token


@pytest.mark.parametrize(
    "url",
    [
        "nats://127.0.0.1:1",
        "nats://user:pass@localhost",
        "tls://token@127.0.0.1:1",
        "nats://a:1,b:2",
        "nats://a,nats://b",
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
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_what_is_secret(url):
    with pytest.raises(UsageError, match="no NATS URL") as refused:
        NatsCluster(url)
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
