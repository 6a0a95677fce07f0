"""A NATS that lets in only those who log in, and one behind TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import trustme

from relay import BrokerUnavailable, Hub
from relay.cluster.nats import NatsCluster
from tests.integration.nats_nodes import QUICK, nodes
from tests.integration.redis_nodes import ROOM, member, users
from tests.nats_server import INSTALL, NatsServer, running
from tests.unit.client import ACK, ADDED, APP
from tests.unit.command import CREDENTIALS, complains, serving

PASSWORD = "hunter2:/@?,#%"
"""With everything that means something in a URL."""


class Guarded(NamedTuple):
    """A server, and the URL that gets in."""

    server: NatsServer
    url: str

    def by(self, login: str) -> str:
        """The URL with another login."""
        return f"nats://{login}@127.0.0.1:{self.server.port}"


@pytest.fixture(scope="module", params=["user", "token"])
def guarded(request, require) -> Iterator[Guarded]:
    program = require("nats-server", INSTALL)
    secret = quote(PASSWORD, safe="")
    if request.param == "user":
        flags, login, by = (
            ["--user", "relay", "--pass", PASSWORD],
            {"user": "relay", "pass": PASSWORD},
            f"relay:{secret}",
        )
    else:
        flags, login, by = ["--auth", PASSWORD], {"auth_token": PASSWORD}, secret
    with running(program, *flags, login=login) as server:
        yield Guarded(server, f"nats://{by}@127.0.0.1:{server.port}")


class Papers(NamedTuple):
    """What stands in files: whom to trust, what the server shows, and what a client does."""

    authority: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder, authority = tmp_path_factory.mktemp("papers"), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")

    def pair(name: str) -> tuple[Path, Path]:
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    return Papers(folder / "ca.pem", pair("server"), pair("client"))


@contextmanager
def secured(require, papers: Papers, *options: str) -> Iterator[NatsServer]:
    """A server behind TLS."""
    certificate, key = papers.server
    context = ssl.create_default_context(cafile=papers.authority)
    context.load_cert_chain(*papers.client)
    flags = ("--tls", "--tlscert", str(certificate), "--tlskey", str(key), *options)
    with running(require("nats-server", INSTALL), *flags, tls=context) as server:
        yield server


async def act_as_one(url: str) -> None:
    """Two nodes hear each other, and know each other's members."""
    async with nodes(url) as (here, there):
        ada, eve = await member(here, "ada"), await member(there, "eve")
        await ada.gets(ACK, ADDED)
        await here.trigger(ROOM, "paid", "")
        await eve.gets(ACK, "paid")
        assert await users(here) == await users(there) == ["ada", "eve"]


async def refused(url: str) -> str:
    """Why a node at that URL does not start."""
    with pytest.raises(BrokerUnavailable) as error:
        await Hub(APP, cluster=NatsCluster(url, QUICK)).run()
    assert "hunter2" not in str(error.value)
    return str(error.value)


async def test_a_login_is_in_the_url_whatever_characters_it_has(guarded):
    await act_as_one(guarded.url)


@pytest.mark.parametrize("login", ["relay:hunter2-wrong", "hunter2-wrong", "hunter2:"])
async def test_a_wrong_login_is_told_without_it(guarded, login, caplog):
    port = guarded.server.port
    told = await refused(guarded.by(login))
    assert told == f"NATS cannot be reached: 127.0.0.1:{port}: 'Authorization Violation'"
    assert "hunter2" not in caplog.text


async def test_a_login_that_is_missing_is_told(guarded):
    assert "Authorization Violation" in await refused(guarded.server.url)


def test_relay_serve_with_a_wrong_login_says_so_in_one_sentence(guarded):
    with serving(*CREDENTIALS, "--port", "0", "--cluster", guarded.by("relay:hunter2-wrong")) as (process, line):
        assert line == ""
        at = f"127.0.0.1:{guarded.server.port}"
        assert complains(process) == f"relay: NATS cannot be reached: {at}: 'Authorization Violation'\n"
        assert (process.wait(timeout=10), complains(process)) == (1, "")


async def test_nodes_meet_over_tls_where_they_trust_the_authority_that_the_url_names(require, papers):
    with secured(require, papers) as server:
        await act_as_one(f"tls://127.0.0.1:{server.port}?tls_ca={papers.authority}")
        told = await refused(f"tls://relay:hunter2@127.0.0.1:{server.port}")
        assert "certificate is not trusted" in told
        assert "?tls_ca=FILE" in told


async def test_a_nats_that_wants_to_see_a_certificate_is_shown_the_one_that_the_url_names(require, papers):
    certificate, key = papers.client
    with secured(require, papers, "--tlsverify", "--tlscacert", str(papers.authority)) as server:
        url = f"tls://127.0.0.1:{server.port}?tls_ca={papers.authority}"
        await act_as_one(f"{url}&tls_cert={certificate}&tls_key={key}")
        assert "NATS cannot be reached" in await refused(url)
