"""Who watches whom, and what they have to be told."""

from relay.watching import Statuses, Watched, Watching


def knowing(watching: Watching[str], watcher: str, *user_ids: str, online: bool = False) -> Statuses:
    """Let `watcher` watch these, of whom those that nobody knew yet are `online` or not."""
    watching.watch(watcher, user_ids)
    for user_id in user_ids:
        if (watched := seen(watching, user_id)).online is None:
            watching.answer(user_id, watched, online=online, edges=watched.edges)
    return watching.first(watcher)


def seen(watching: Watching[str], user_id: str) -> Watched[str]:
    watched = watching.get(user_id)
    assert watched is not None
    return watched


def test_a_watcher_is_told_its_whole_list_first_in_the_order_it_gave():
    watching = Watching[str]()
    assert knowing(watching, "w", "b", "a") == Statuses((), ("b", "a"))
    watching.edge("a", online=True, step=1)
    assert knowing(watching, "v", "c", "a", "b") == Statuses(("a",), ("c", "b"))


def test_nobody_is_told_anything_before_its_first_frame():
    watching = Watching[str]()
    knowing(watching, "w", "a")
    watching.watch("v", ("a",))
    watching.edge("a", online=True, step=1)
    assert watching.changes() == {Statuses(("a",), ()): ["w"]}
    assert watching.first("v") == Statuses(("a",), ())


def test_changes_are_the_difference_to_what_each_was_told():
    watching = Watching[str]()
    knowing(watching, "early", "a", "b")
    watching.edge("a", online=True, step=1)
    watching.watch("late", ("a", "b"))
    assert watching.first("late") == Statuses(("a",), ("b",))
    watching.edge("b", online=True, step=2)
    assert watching.changes() == {Statuses(("a", "b"), ()): ["early"], Statuses(("b",), ()): ["late"]}
    assert watching.changes() == {}


def test_those_who_are_told_the_same_are_named_together():
    watching = Watching[str]()
    for watcher in ("v", "w"):
        knowing(watching, watcher, "a")
    knowing(watching, "u", "a", "b")
    for user_id in ("a", "b"):
        watching.edge(user_id, online=True, step=1)
    assert watching.changes() == {Statuses(("a",), ()): ["v", "w"], Statuses(("a", "b"), ()): ["u"]}


def test_only_the_first_change_asks_for_a_look():
    watching = Watching[str]()
    knowing(watching, "w", "a", "b")
    assert [watching.edge(user_id, online=True, step=1) for user_id in ("a", "a", "b")] == [True, False, False]
    watching.changes()
    assert watching.edge("a", online=False, step=2)


def test_what_was_taken_back_before_anybody_was_told_is_no_news():
    watching = Watching[str]()
    knowing(watching, "w", "a")
    watching.edge("a", online=True, step=1)
    watching.edge("a", online=False, step=2)
    assert watching.changes() == {}


def test_an_edge_that_is_older_than_the_last_one_is_dropped():
    watching = Watching[str]()
    knowing(watching, "w", "a")
    watching.edge("a", online=True, step=5)
    assert not watching.edge("a", online=False, step=4)
    assert watching.changes() == {Statuses(("a",), ()): ["w"]}


def test_an_edge_counts_more_than_an_answer_that_was_asked_for_before_it():
    watching = Watching[str]()
    watching.watch("w", ("a",))
    watched = seen(watching, "a")
    watching.edge("a", online=True, step=1)
    watching.answer("a", watched, online=False, edges=0)
    assert watching.first("w") == Statuses(("a",), ())


def test_an_answer_about_one_who_was_forgotten_and_is_watched_anew_does_not_count():
    watching = Watching[str]()
    watching.watch("w", ("a",))
    before = seen(watching, "a")
    watching.forget("w")
    watching.watch("v", ("a",))
    watching.answer("a", before, online=True, edges=0)
    assert seen(watching, "a").online is None


def test_users_whom_nobody_watches_any_more_are_named_and_forgotten():
    watching = Watching[str]()
    knowing(watching, "w", "a", "b")
    knowing(watching, "v", "b")
    watching.edge("a", online=True, step=1)
    assert watching.watch("w", ("b", "c")) == ["a"]
    assert watching.forget("w") == ["c"]
    assert watching.forget("w") == []
    assert watching.forget("v") == ["b"]
    assert (len(watching), watching.changes(), watching.problems()) == (0, {}, [])


def test_an_edge_of_one_whom_nobody_watches_is_nothing():
    assert not Watching[str]().edge("a", online=True, step=1)


def test_lists_that_disagree_are_found():
    watching = Watching[str]()
    watching.watch("w", ("a", "b"))
    seen(watching, "a").watchers.clear()
    seen(watching, "b").watchers["v"] = None
    assert watching.problems() == [
        "user a is watched by nobody and kept",
        "user b is watched by a connection whose watchlist is another",
        "user a stands on a watchlist and is not watched",
    ]
