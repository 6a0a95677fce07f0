"""What auth endpoints answer: signed proof that a connection may join a channel, or is a user (protocol 8.2)."""

from __future__ import annotations

from relay.app import App
from relay.errors import Refused, UsageError
from relay.protocol import encryption, messages, names, signing
from relay.protocol.messages import Identity, Member, User
from relay.protocol.names import Kind
from relay.protocol.session import check_member


def authorize_channel(app: App, socket_id: str, channel: str, member: Member | None = None) -> dict[str, str]:
    """The JSON object that lets ``socket_id`` into a private or presence ``channel``.

    ``member`` is who it is on a presence channel. For an encrypted channel the object holds its ``shared_secret`` too,
    which takes the App's master key. Raises :class:`UsageError`.
    """
    _check_socket_id(socket_id)
    if not names.is_channel(channel):
        raise UsageError(f"Invalid channel name {channel[: names.MAX_EVENT_NAME]!r}")
    kind = names.kind_of(channel)
    if kind is Kind.PUBLIC:
        raise UsageError(f"{channel!r} is public and needs no authorization")
    if kind is Kind.PRIVATE:
        answer = {"auth": signing.sign_channel(app, socket_id, channel)}
        if names.is_encrypted(channel):
            secret = encryption.shared_secret(encryption.master_key(app), channel)
            answer["shared_secret"] = encryption.tell_secret(secret)
        return answer
    if member is None:
        raise UsageError(f"{channel!r} is a presence channel: pass member=Member(id=..., info=...)")
    channel_data, _ = _described(app, member, channel)
    return {"auth": signing.sign_channel(app, socket_id, channel, channel_data), "channel_data": channel_data}


def authenticate_user(app: App, socket_id: str, user: User) -> dict[str, str]:
    """The JSON object that signs ``socket_id`` in as ``user``. Raises :class:`UsageError`."""
    _check_socket_id(socket_id)
    if not user.id:
        raise UsageError("User.id must not be empty")
    data: dict[str, object] = {"id": user.id}
    if user.info is not None:
        data["user_info"] = user.info
    if user.watchlist:
        data["watchlist"] = _watchlist(user)
    user_data = messages.json_text(data)
    return {"auth": signing.sign_user(app, socket_id, user_data), "user_data": user_data}


def _watchlist(user: User) -> list[str]:
    if isinstance(user.watchlist, str) or not all(isinstance(one, str) and one for one in user.watchlist):
        raise UsageError(f"User.watchlist must hold user ids, strings that are not empty, got {user.watchlist!r}")
    return list(user.watchlist)


def granted(answer: object, channel: str) -> Member | None:
    """Who an authorizer's ``answer`` lets into ``channel``, None for somebody without a name.

    Only a member and True let anybody in: a function that forgets to answer must not open a channel.
    Raises :class:`Refused`.
    """
    if answer is not True and not isinstance(answer, Member):
        raise Refused(f"Not authorized to subscribe to {channel}", channel=channel)
    return answer if isinstance(answer, Member) else None


def identity(app: App, member: Member, channel: str) -> Identity:
    """``member`` as it stands in frames; a whole number as id, a primary key for instance, becomes its text.

    Raises :class:`UsageError` for a member that no hub would take.
    """
    return _described(app, member, channel)[1]


def _described(app: App, member: Member, channel: str) -> tuple[str, Identity]:
    try:
        channel_data = messages.channel_data(member)
        return channel_data, check_member(app, messages.read_member(channel_data), channel)
    except (TypeError, ValueError, Refused) as error:
        raise UsageError(f"no hub would take this member: {error}") from None


def _check_socket_id(socket_id: str) -> None:
    if not names.is_socket_id(socket_id):
        raise UsageError(f"Invalid socket id {socket_id!r}: should be two integers joined by a dot")
