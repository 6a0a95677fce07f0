"""Which connections make which users online."""

from relay.seats import Kind, Place, Seats

ADA, BOB = Place(Kind.SIGNED_IN, "ada"), Place(Kind.PRESENT, "bob")


def test_a_connection_has_each_place_once():
    seats = Seats()
    assert [seats.take("1.1", ADA), seats.take("1.1", ADA), seats.take("2.2", ADA)] == [True, False, True]
    assert (seats.count(ADA), seats.count(BOB)) == (2, 0)


def test_places_are_given_up_one_by_one():
    seats = Seats()
    for place in (ADA, BOB):
        seats.take("1.1", place)
    seats.leave("1.1", ADA)
    seats.leave("1.1", ADA)
    seats.leave("2.2", BOB)
    assert (seats.of("1.1"), seats.sockets()) == ((BOB,), {"#present-bob": frozenset({"1.1"})})
    seats.leave("1.1", BOB)
    assert (seats.of("1.1"), seats.sockets(), len(seats)) == ((), {}, 0)


def test_a_grace_ends_once():
    seats, ended = Seats(), list[str]()
    for socket_id in ("1.1", "2.2"):
        seats.take(socket_id, ADA)
    seats.linger("1.1", lambda: ended.append("1.1"))
    assert (seats.lingering("1.1"), seats.lingering("2.2"), seats.lingering("3.3")) == (True, False, False)
    assert (seats.hurry(), ended) == (["1.1"], ["1.1"])
    assert (seats.hurry(), ended) == ([], ["1.1"])


def test_places_of_one_kind_are_not_those_of_another():
    assert Place(Kind.SIGNED_IN, "present-ada").channel != Place(Kind.PRESENT, "ada").channel
