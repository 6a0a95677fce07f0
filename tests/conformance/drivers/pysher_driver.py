"""Pysher, told what to do and telling what happens as JSON, one value a line.

python pysher_driver.py KEY OPTIONS USER
"""

import json
import sys
import threading

import pysher

HEARD = (
    *("paid", "spared", "last", "client-typing", "pusher:cache_miss", "pusher_internal:subscription_succeeded"),
    *("pusher_internal:member_added", "pusher_internal:member_removed", "pusher_internal:subscription_count"),
)
_lock = threading.Lock()


def tell(**value):
    with _lock:
        print(json.dumps(value), flush=True)


def parsed(data):
    """What an event carries: Pysher hands on the text."""
    try:
        return json.loads(data)
    except (TypeError, ValueError):
        return data


class Patient(pysher.Pusher):  # type: ignore[misc]
    """Hears nothing while a subscribe is on its way: Pysher knows a channel only after it has sent the frame, and
    loses the answer of a server that is quicker.
    """

    def __init__(self, *arguments, **options):
        self.subscribing = threading.Lock()
        super().__init__(*arguments, **options)

    def _connection_handler(self, event_name, data, channel_name):
        with self.subscribing:
            super()._connection_handler(event_name, data, channel_name)


class Session:
    """Pysher under the names of the run."""

    def __init__(self, key, options, user):
        self._pusher = Patient(key, user_data={"user_id": user, "user_info": {"name": user.title()}}, **options)
        connection = self._pusher.connection
        connection.bind("pusher:connection_established", self._connected)
        connection.bind("pusher:error", lambda data: tell(told="error", code=data["code"], message=data["message"]))
        connection.bind("pusher:pong", lambda _: tell(told="pong"))
        self._pusher.connect()

    def _connected(self, data):
        tell(told="state", state="connected", socket_id=json.loads(data)["socket_id"])

    def subscribe(self, name):
        with self._pusher.subscribing:
            channel = self._pusher.subscribe(name)
            for event in HEARD:
                channel.bind(event, self._heard, name, event.replace("pusher_internal:", "pusher:"))

    def members(self, name):
        """Told when it subscribed: Pysher keeps no list."""

    def _heard(self, data, name, event):
        tell(told="event", channel=name, event=event, data=parsed(data))
        if event == "pusher:subscription_succeeded" and name.startswith("presence-"):
            presence = parsed(data)["presence"]
            tell(told="members", members=presence["hash"], count=presence["count"])

    def unsubscribe(self, name):
        self._pusher.unsubscribe(name)

    def trigger(self, name, event, data):
        self._pusher.channel(name).trigger(event, data)

    def disconnect(self):
        self._pusher.disconnect()
        tell(told="state", state="disconnected", socket_id=None)


def main(key, options, user):
    session = Session(key, json.loads(options), user)
    for line in sys.stdin:
        said = json.loads(line)
        getattr(session, said["do"])(*said["with"])


if __name__ == "__main__":
    main(*sys.argv[1:])
