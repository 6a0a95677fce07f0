"""The server SDK `pusher` from PyPI, current or old: one call a line in, one answer out.

python pusher_driver.py OPTIONS
"""

import collections
import collections.abc
import json
import os
import sys

# The old ones were written for Pythons that had these there.
for name in "Iterable", "Mapping", "Sized":
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))

from pusher import Pusher  # noqa: E402
from pusher.requests import RequestsBackend  # noqa: E402


class TrustingBackend(RequestsBackend):  # type: ignore[misc]
    """Trusts our authority too: the SDK would trust only the bundle that comes with it."""

    def __init__(self, client, **options):
        super().__init__(client, **options)
        if os.environ.get("AUTHORITY"):
            self.options["verify"] = os.environ["AUTHORITY"]


class Sdk:
    """Its verbs under the names of the run."""

    def __init__(self, options):
        self._pusher = Pusher(backend=TrustingBackend, **options)

    def trigger(self, channels, event, data, socket_id):
        return self._pusher.trigger(channels, event, data, socket_id)

    def trigger_batch(self, batch):
        return self._pusher.trigger_batch(batch)

    def send_to_user(self, user, event, data):
        return self._pusher.send_to_user(user, event, data)

    def terminate(self, user):
        return self._pusher.terminate_user_connections(user)

    def channels(self, prefix, info):
        return self._pusher.channels_info(prefix, info)

    def channel(self, channel, info):
        return self._pusher.channel_info(channel, info)

    def users(self, channel):
        return self._pusher.users_info(channel)

    def authorize(self, socket_id, channel, member):
        return self._pusher.authenticate(channel, socket_id, member)

    def authenticate(self, socket_id, user):
        return self._pusher.authenticate_user(socket_id, user)

    def webhook(self, headers, body):
        found = self._pusher.validate_webhook(headers["x-pusher-key"], headers["x-pusher-signature"], body)
        return found and found["events"]


def main(options):
    sdk = Sdk(json.loads(options))
    for line in sys.stdin:
        said = json.loads(line)
        try:
            answer = {"ok": getattr(sdk, said["do"])(*said["with"])}
        except Exception as error:  # noqa: BLE001 - whatever it is, the run judges it
            answer = {"error": str(error) or repr(error)}
        print(json.dumps(answer, default=bytes.decode), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
