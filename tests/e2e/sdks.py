"""The official server SDKs, from PyPI and from npm, behind one set of words."""

from typing import Any, Protocol

from pusher import Pusher
from pusher.errors import PusherError

from .application import APP, HOST, MASTER_KEY, Site
from .programs import JsonProgram


class Rejected(Exception):
    """The SDK reports that the server said no; the text is what the SDK shows of the reason."""


class ServerSdk(Protocol):
    """What both SDKs can do; results are the decoded JSON of the answer."""

    def trigger(self, channels: str | list[str], event: str, data: object, socket_id: str | None = None) -> Any: ...
    def trigger_batch(self, batch: list[dict[str, object]]) -> Any: ...
    def send_to_user(self, user_id: str, event: str, data: object) -> Any: ...
    def terminate_user_connections(self, user_id: str) -> Any: ...
    def channels(self, prefix: str, info: list[str]) -> Any: ...
    def channel(self, name: str, info: list[str]) -> Any: ...
    def users(self, channel: str) -> Any: ...


class PypiSdk:
    """`pusher` for Python, with its requests backend."""

    def __init__(self, pusher: Pusher) -> None:
        self._pusher = pusher

    def trigger(self, channels: str | list[str], event: str, data: object, socket_id: str | None = None) -> Any:
        return self._call(self._pusher.trigger, channels, event, data, socket_id)

    def trigger_batch(self, batch: list[dict[str, object]]) -> Any:
        return self._call(self._pusher.trigger_batch, batch)

    def send_to_user(self, user_id: str, event: str, data: object) -> Any:
        return self._call(self._pusher.send_to_user, user_id, event, data)

    def terminate_user_connections(self, user_id: str) -> Any:
        return self._call(self._pusher.terminate_user_connections, user_id)

    def channels(self, prefix: str, info: list[str]) -> Any:
        return self._call(self._pusher.channels_info, prefix, info)

    def channel(self, name: str, info: list[str]) -> Any:
        return self._call(self._pusher.channel_info, name, info)

    def users(self, channel: str) -> Any:
        return self._call(self._pusher.users_info, channel)

    def _call(self, method: Any, *arguments: object) -> Any:
        try:
            return method(*arguments)
        except PusherError as error:
            raise Rejected(str(error)) from error


class NpmSdk:
    """`pusher` for Node, in a process of its own (js/sdk.mjs)."""

    def __init__(self, program: JsonProgram) -> None:
        self._program = program

    def trigger(self, channels: str | list[str], event: str, data: object, socket_id: str | None = None) -> Any:
        return self.call("trigger", channels, event, data, {"socket_id": socket_id} if socket_id else {})

    def trigger_batch(self, batch: list[dict[str, object]]) -> Any:
        return self.call("triggerBatch", batch)

    def send_to_user(self, user_id: str, event: str, data: object) -> Any:
        return self.call("sendToUser", user_id, event, data)

    def terminate_user_connections(self, user_id: str) -> Any:
        return self.call("terminateUserConnections", user_id)

    def channels(self, prefix: str, info: list[str]) -> Any:
        return self.get("/channels", {"filter_by_prefix": prefix, "info": ",".join(info)})

    def channel(self, name: str, info: list[str]) -> Any:
        return self.get(f"/channels/{name}", {"info": ",".join(info)})

    def users(self, channel: str) -> Any:
        return self.get(f"/channels/{channel}/users", {})

    def get(self, path: str, params: dict[str, str]) -> Any:
        """`pusher.get({ path, params })`, the SDK's only way to query."""
        return self.call("get", {"path": path, "params": params})

    def post(self, path: str, body: object) -> Any:
        """`pusher.post({ path, body })`."""
        return self.call("post", {"path": path, "body": body})

    def call(self, method: str, *arguments: object) -> Any:
        answer = self._program.ask({"method": method, "arguments": arguments})
        if "error" in answer:
            raise Rejected(answer["error"])
        return answer["ok"]


def pypi_client(
    site: Site, backend: object, *, configured_by: str, tls: bool, secret: str, master_key: str = MASTER_KEY
) -> Pusher:
    """The Python SDK as one would configure it; its URL cannot hold a port."""
    port = site.tls_port if tls else site.port
    if configured_by == "url":
        scheme = "https" if tls else "http"
        return Pusher.from_url(f"{scheme}://{APP.key}:{secret}@{HOST}/apps/{APP.id}", port=port, backend=backend)
    return Pusher(
        app_id=APP.id,
        key=APP.key,
        secret=secret,
        encryption_master_key_base64=master_key,
        ssl=tls,
        host=HOST,
        port=port,
        backend=backend,
    )


def npm_configuration(
    site: Site, *, configured_by: str, tls: bool, secret: str, master_key: str = MASTER_KEY
) -> object:
    """What js/sdk.mjs gives to `Pusher.forURL` or to `new Pusher`."""
    port = site.tls_port if tls else site.port
    if configured_by == "url":
        return f"{'https' if tls else 'http'}://{APP.key}:{secret}@{HOST}:{port}/apps/{APP.id}"
    return {
        "appId": APP.id,
        "key": APP.key,
        "secret": secret,
        "encryptionMasterKeyBase64": master_key,
        "useTLS": tls,
        "host": HOST,
        "port": port,
    }
