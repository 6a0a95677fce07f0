"""What a hub should do, in the plainest terms: a book of who is where, and a list of what each socket is to get."""

from collections import defaultdict
from dataclasses import dataclass, field

ACK = "pusher_internal:subscription_succeeded"

Expected = tuple[str, str | None, object, str | None]
"""Event, channel, data and user_id of one frame."""


OWN = "#server-to-user-"


def is_own(channel: str) -> bool:
    return channel.startswith(OWN)


def is_presence(channel: str) -> bool:
    return channel.startswith("presence-")


def is_cached(channel: str) -> bool:
    return channel.startswith(("cache-", "presence-cache-"))


def carries_client_events(channel: str) -> bool:
    return channel.startswith(("private-", "presence-"))


@dataclass
class Model:
    """Sockets and users are named by strings; channels exist while somebody is in them."""

    max_members: int
    places: dict[str, dict[str, str]] = field(default_factory=dict)
    """Channels with their sockets, in the order they came, and the user of each."""
    members: dict[str, list[str]] = field(default_factory=dict)
    """Presence channels with their users, in the order they came."""
    users: dict[str, str] = field(default_factory=dict)
    """The user of each connected socket. What one says that is no longer connected changes nothing."""
    signed_in: dict[str, None] = field(default_factory=dict)
    """Sockets, in the order they first signed in."""
    subscriptions: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The channels of each socket, in the order it came to them."""
    due: defaultdict[str, list[Expected]] = field(default_factory=lambda: defaultdict(list))
    last: dict[str, tuple[str, object]] = field(default_factory=dict)
    """Cache channels with the name and data of what was published last."""
    edges: list[tuple[str, str, str | None]] = field(default_factory=list)
    """What happened to channels as wholes: kind, channel, user."""

    def refuse(self, socket: str, message: str) -> None:
        self.due[socket].append(("pusher:error", None, {"code": None, "message": message}, None))

    def tell(self, channel: str, event: str, data: object, *, but: str | None = None, user: str | None = None) -> None:
        for socket in self.places.get(channel, {}):
            if socket != but:
                self.due[socket].append((event, channel, data, user))

    def publish(self, channel: str, event: str, data: object, *, but: str | None = None) -> None:
        if is_cached(channel):
            self.last[channel] = event, data
        self.tell(channel, event, data, but=but)

    def subscribe(self, socket: str, channel: str) -> None:
        if socket not in self.users:
            return
        user = self.users[socket]
        if socket in self.places.get(channel, {}):
            self.refuse(socket, f"Existing subscription to channel {channel}")
        elif is_own(channel) and (socket not in self.signed_in or channel != OWN + user):
            who = "Only the user signed in on this connection"
            self.refuse(socket, f"{who} may subscribe to its server-to-user channel (subscription to {channel})")
        elif is_presence(channel):
            self._enter_presence(socket, channel, user)
        else:
            self._enter(socket, channel, user)
            self.due[socket].append((ACK, channel, {}, None))
            self._replay(socket, channel)

    def _replay(self, socket: str, channel: str) -> None:
        if is_cached(channel):
            event, data = self.last.get(channel, ("pusher:cache_miss", {}))
            self.due[socket].append((event, channel, data, None))
            if channel not in self.last:
                self.edges.append(("missed", channel, None))

    def _enter(self, socket: str, channel: str, user: str) -> None:
        if channel not in self.places:
            self.edges.append(("occupied", channel, None))
        self.places.setdefault(channel, {})[socket] = user
        self.subscriptions[socket].append(channel)

    def _enter_presence(self, socket: str, channel: str, user: str) -> None:
        members = self.members.get(channel, [])
        if user not in members and len(members) >= self.max_members:
            limit = f"{len(members)} users, allowed are {self.max_members}"
            self.refuse(socket, f"Over member limit: {channel} has {limit}")
            return
        self._enter(socket, channel, user)
        if user not in members:
            self.members[channel] = [*members, user]
            self.edges.append(("added", channel, user))
            added = {"user_id": user, "user_info": {"name": user}}
            self.tell(channel, "pusher_internal:member_added", added, but=socket)
        members = self.members[channel]
        roster = {"count": len(members), "ids": members, "hash": {member: {"name": member} for member in members}}
        self.due[socket].append((ACK, channel, {"presence": roster}, None))
        self._replay(socket, channel)

    def unsubscribe(self, socket: str, channel: str) -> None:
        if socket not in self.users:
            return
        if socket in self.places.get(channel, {}):
            self._leave(socket, channel)
        else:
            self.refuse(socket, f"No current subscription to channel {channel}, or subscription in progress")

    def _leave(self, socket: str, channel: str) -> None:
        user = self.places[channel].pop(socket)
        self.subscriptions[socket].remove(channel)
        if is_presence(channel) and user not in self.places[channel].values():
            self.members[channel] = [member for member in self.members[channel] if member != user]
            self.edges.append(("removed", channel, user))
            self.tell(channel, "pusher_internal:member_removed", {"user_id": user})
        if not self.places[channel]:
            self.edges.append(("vacated", channel, None))
            del self.places[channel]
            self.members.pop(channel, None)

    def drop(self, socket: str) -> None:
        for channel in list(self.subscriptions[socket]):
            self._leave(socket, channel)
        del self.users[socket], self.subscriptions[socket]
        self.signed_in.pop(socket, None)
        self.due.pop(socket, None)

    def sign_in(self, socket: str) -> None:
        if socket not in self.users:
            return
        self.signed_in.setdefault(socket)
        user_data = f'{{"id":"{self.users[socket]}"}}'
        self.due[socket].append(("pusher:signin_success", None, {"user_data": user_data}, None))

    def client_event(self, socket: str, channel: str, data: object) -> None:
        if socket not in self.users:
            return
        if not carries_client_events(channel):
            self.refuse(socket, "Client event rejected - only supported on private and presence channels")
        elif socket not in self.places.get(channel, {}):
            self.refuse(socket, f"Cannot broadcast client event (connection not subscribed to channel {channel})")
        else:
            user = self.users[socket] if is_presence(channel) else None
            self.tell(channel, "client-typing", data, but=socket, user=user)
