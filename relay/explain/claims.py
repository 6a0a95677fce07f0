"""Why a subscribe or a sign-in was refused (protocol 2.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from relay.app import App
from relay.errors import Refused
from relay.explain.explanation import Cause, Explanation, Told, printable
from relay.explain.guessing import Guess, find, key_hint, rewritten, signed
from relay.protocol import messages, names
from relay.protocol.names import Kind
from relay.protocol.signing import channel_string, user_string

_PREFIXES = (
    "private-encrypted-cache-",
    "private-encrypted-",
    "private-cache-",
    "presence-cache-",
    "private-",
    "presence-",
)
_NO_AUTH = (
    "the client sent no auth: its channelAuthorization (or authEndpoint) must answer"
    ' {"auth": "KEY:SIGNATURE"}, and the client must send that'
)
_NO_SIGNIN = 'the client sent no auth: its userAuthentication must answer {"auth": "KEY:SIGNATURE", "user_data": "..."}'
_NOTHING_FITS = (
    "nothing that was tried gives this signature: it was made with another secret, or for another {what}"
    " (each connection has a socket_id of its own, a new one after every reconnect)"
)


def explain_channel(
    app: App,
    socket_id: str,
    channel: str,
    auth: str | None,
    channel_data: str | None = None,
    *,
    others: Iterable[App] = (),
) -> Explanation | None:
    """Why ``auth`` does not let ``socket_id`` into ``channel``, as far as that can be seen; None where it does.

    ``channel_data`` is the exact string that the client sent. ``others`` are Apps whose key or secret may have been
    taken by mistake. Without ``channel_data`` a presence channel can be joined only by who is signed in as a user;
    here nobody is. Never raises.
    """
    others = tuple(others)
    presence = names.kind_of(channel) is Kind.PRESENCE
    forms = [channel_string(socket_id, channel, channel_data)]
    if channel_data is not None and not presence:
        forms.append(channel_string(socket_id, channel, None))
    guesses = _channel_guesses(socket_id, channel, channel_data)
    found = _mistake(app, others, forms, auth, guesses, what="socket_id or channel", missing=_NO_AUTH)
    if presence and channel_data is None and (found is None or found[0] is Cause.UNKNOWN):
        hint = (
            "the client sent no channel_data: on a presence channel the auth endpoint must answer with it beside"
            " auth, and the client must send both, unless it is signed in as a user"
        )
        found = Cause.DATA_MISSING, hint
    return None if found is None else _told(app, forms[0], auth).explanation(*found, (app, *others))


def explain_signin(
    app: App, socket_id: str, auth: str | None, user_data: str, *, others: Iterable[App] = ()
) -> Explanation | None:
    """Why ``auth`` does not sign ``socket_id`` in as the user of ``user_data``; None where it does.

    Arguments as for :func:`explain_channel`. Never raises.
    """
    others = tuple(others)
    string = user_string(socket_id, user_data)
    guesses = _signin_guesses(socket_id, user_data)
    found = _mistake(app, others, [string], auth, guesses, what="socket_id or user", missing=_NO_SIGNIN)
    return None if found is None else _told(app, string, auth).explanation(*found, (app, *others))


def explain_message(app: App, socket_id: str, text: str | bytes, *, others: Iterable[App] = ()) -> Explanation | None:
    """Why the proof in a client's frame was refused; None where it holds none, or nothing is wrong with it."""
    try:
        inbound = messages.read(text)
        if inbound.event == "pusher:subscribe":
            asked = messages.read_data(inbound, messages.SubscribeData)
            return explain_channel(app, socket_id, asked.channel, asked.auth, asked.channel_data, others=others)
        if inbound.event == "pusher:signin":
            signin = messages.read_data(inbound, messages.SigninData)
            return explain_signin(app, socket_id, signin.auth, signin.user_data, others=others)
    except Refused:
        pass
    return None


def _told(app: App, string: str, auth: str | None) -> Told:
    key, colon, signature = (auth or "").partition(":")
    return Told(string, signed(app.secret, string), signature if colon else key)


def _mistake(
    app: App,
    others: tuple[App, ...],
    forms: list[str],
    auth: str | None,
    guesses: Iterable[Guess],
    *,
    what: str,
    missing: str,
) -> tuple[Cause, str] | None:
    if not auth:
        return Cause.NO_AUTH, missing
    key, colon, signature = auth.partition(":")
    if not colon or auth.lstrip().startswith("{"):
        return Cause.MALFORMED, _malformed(app, forms, auth)
    if key != app.key:
        return Cause.WRONG_KEY, key_hint(app, key, others, "the client connected with the key of")
    if signature in [signed(app.secret, form) for form in forms]:
        return None
    for form in reversed(forms):
        found = find(app, others, form, signature, guesses if form is forms[0] else ())
        if found is not None:
            return found
    return Cause.UNKNOWN, _NOTHING_FITS.format(what=what)


def _malformed(app: App, forms: list[str], auth: str) -> str:
    if auth.lstrip().startswith("{"):
        return "the whole answer of the auth endpoint was sent, and not the value of its auth"
    if auth.strip().lower() in [signed(app.secret, form) for form in forms]:
        return "the signature was sent without the key: should be 'KEY:SIGNATURE'"
    if auth.strip() == app.key:
        return "the key was sent without a signature: should be 'KEY:SIGNATURE'"
    return f"auth should be 'KEY:SIGNATURE', it has no colon and {len(auth)} characters"


def _channel_guesses(socket_id: str, channel: str, data: str | None) -> Iterator[Guess]:
    yield from _data_guesses(lambda other: channel_string(socket_id, channel, other), "channel_data", data)
    if data is not None:
        hint = "channel_data was sent and not signed: sign 'SOCKET_ID:CHANNEL:CHANNEL_DATA' on presence channels"
        yield Guess(Cause.DATA_MISSING, hint, channel_string(socket_id, channel, None))
    for other in _channels(channel):
        hint = f"the channel was signed as '{printable(other)}': sign the whole name, '{printable(channel)}'"
        yield Guess(Cause.CHANNEL, hint, channel_string(socket_id, other, data))
        yield Guess(Cause.CHANNEL, hint, channel_string(socket_id, other, None))
    for other in _socket_ids(socket_id):
        hint = f"the socket id was signed as '{printable(other)}': sign it as it came, '{printable(socket_id)}'"
        yield Guess(Cause.SOCKET_ID, hint, channel_string(other, channel, data))
    end = "" if data is None else f":{data}"
    wanted = "should be 'SOCKET_ID:CHANNEL' or 'SOCKET_ID:CHANNEL:CHANNEL_DATA'"
    yield Guess(Cause.FORM, f"channel and socket id changed places: {wanted}", f"{channel}:{socket_id}{end}")
    yield Guess(Cause.FORM, f"it was signed as a sign-in: {wanted}", user_string(socket_id, data or ""))
    yield Guess(Cause.FORM, f"the parts were joined without a colon: {wanted}", f"{socket_id}{channel}{data or ''}")
    yield Guess(Cause.FORM, f"there is nothing but the channel in it: {wanted}", channel)
    yield Guess(Cause.FORM, f"there is nothing but the socket id in it: {wanted}", socket_id)
    for more in (":", "\n", ":null", ":undefined", ":None", ":{}", ":[]"):
        written = channel_string(socket_id, channel, data) + more
        yield Guess(Cause.FORM, f"the string that was signed ends in '{printable(more)}': {wanted}", written)


def _signin_guesses(socket_id: str, data: str) -> Iterator[Guess]:
    yield from _data_guesses(lambda other: user_string(socket_id, other), "user_data", data)
    for other in _socket_ids(socket_id):
        hint = f"the socket id was signed as '{printable(other)}': sign it as it came, '{printable(socket_id)}'"
        yield Guess(Cause.SOCKET_ID, hint, user_string(other, data))
    wanted = "should be 'SOCKET_ID::user::USER_DATA'"
    for string in (f"{socket_id}:user:{data}", f"{socket_id}:{data}", f"{socket_id}::user:{data}"):
        yield Guess(Cause.FORM, f"the parts were joined with other colons: {wanted}", string)
    for string in (f"{socket_id}::user::", f"{socket_id}::user", socket_id):
        yield Guess(Cause.FORM, f"user_data was not signed: {wanted}", string)


def _data_guesses(string: Callable[[str], str], what: str, data: str | None) -> Iterator[Guess]:
    if data is None:
        return
    advice = "send and sign the same string, and do not decode it in between"
    for how, other in rewritten(data):
        hint = f"{what} was written anew after it was signed; it was signed {how}: {advice}"
        yield Guess(Cause.DATA_REWRITTEN, hint, string(other))
    for other in (data.strip(), data + "\n", quote(data), quote(data, safe="")):
        yield Guess(Cause.DATA_REWRITTEN, f"{what} changed after it was signed: {advice}", string(other))


def _channels(channel: str) -> Iterator[str]:
    for prefix in _PREFIXES:
        if channel.startswith(prefix):
            bare = channel[len(prefix) :]
            yield bare
            yield from (other + bare for other in _PREFIXES)
    yield from (prefix + channel for prefix in _PREFIXES)
    yield from (channel.lower(), channel.upper(), channel.strip(), f'"{channel}"', quote(channel, safe=""))
    yield from ("", "undefined", "null", "None", channel + "\n", channel + " ")


def _socket_ids(socket_id: str) -> Iterator[str]:
    first, _, second = socket_id.partition(".")
    yield from (first, second, first + second, f"{second}.{first}", f"{first},{second}", f"{first}%2E{second}")
    yield from (f'"{socket_id}"', f"'{socket_id}'", socket_id + "\n", socket_id + " ", socket_id.strip())
    yield from ("", "undefined", "null", "None", "false", socket_id.rstrip("0"))
