"""nginx with the configuration that the guide shows, on free ports."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme

SHOWN = Path(__file__).parents[2] / "examples/nginx/relay.conf"
AROUND = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {shown}
}}
"""
USER = "" if os.getuid() else "user root;"
"""Its workers must reach the socket and the files of this test."""


class Nginx(NamedTuple):
    """Where nginx listens."""

    port: int
    tls_port: int


def fitted(folder: Path, port: int, tls_port: int, relay: str, read_timeout: str) -> str:
    """The file of the guide with ports and files of this test; each is in it exactly once."""
    text = SHOWN.read_text()
    for shown, here in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{tls_port} ssl;",
        "unix:/run/relay/relay.sock": relay,
        "/etc/ssl/example.com.pem": str(folder / "cert.pem"),
        "/etc/ssl/example.com.key": str(folder / "key.pem"),
    }.items():
        assert text.count(shown) == 1, shown
        text = text.replace(shown, here)
    return re.sub(r"proxy_read_timeout +180s;", f"proxy_read_timeout {read_timeout};", text)


@contextmanager
def running(
    program: Path,
    folder: Path,
    pair: trustme.LeafCert,
    relay: str,
    read_timeout: str,
    *,
    changed: Callable[[str], str] = str,
) -> Iterator[Nginx]:
    """Nginx before ``relay``, an address as in its `server` line. It is given sockets that listen already, as it
    gives them to its successor in an upgrade: clients need not wait for it. ``changed`` is
    what becomes of the guide's file.
    """
    pair.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    with socket.create_server(("127.0.0.1", 0)) as plain, socket.create_server(("127.0.0.1", 0)) as tls:
        ports = Nginx(plain.getsockname()[1], tls.getsockname()[1])
        descriptors = plain.fileno(), tls.fileno()
        config = folder / "nginx.conf"
        config.write_text(
            AROUND.format(folder=folder, user=USER, shown=changed(fitted(folder, *ports, relay, read_timeout)))
        )
        process = subprocess.Popen(
            [program, "-p", folder, "-c", config, "-e", folder / "errors"],
            pass_fds=descriptors,
            env={**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in descriptors)},
        )
    try:
        yield ports
    finally:
        process.terminate()
        process.wait(20)
        problems = re.findall(r"\[(?:error|crit|alert|emerg)\].*", (folder / "errors").read_text())
        assert [line for line in problems if "timed out" not in line] == []
