"""What pytest shows of a test that failed: the transcript. Also run by `test_environments.py` wherever async tests can
run.
"""

import pytest

pytest_plugins = ["pytester"]

ON_ONE_LOOP = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
FAILING = """
async def test_payment(relay):
    payer, clerk = await relay.connect(), await relay.connect()
    mine, orders = await payer.subscribe("orders"), await clerk.subscribe("orders")
    await relay.clock.advance(1.5)
    await relay.hub.trigger("orders", "paid", {"id": 7}, socket_id=payer.socket_id)
    await orders.expect("paid")
    await mine.expect("paid")
"""
TRANSCRIPT = [
    '*0.000 *#1 S> {"event":"pusher:connection_established",*',
    '*0.000 *#2 S> {"event":"pusher:connection_established",*',
    '*0.000 *#1 C> {"event":"pusher:subscribe","data":{"channel":"orders"}}',
    '*0.000 *#1 S> [[]orders] {"event":"pusher_internal:subscription_succeeded",*',
    '*0.000 *#2 C> {"event":"pusher:subscribe",*',
    '*1.500 *#2 S> [[]orders] {"event":"paid","channel":"orders",*',
]


@pytest.fixture
def run(pytester, pytestconfig):
    """Run a test file as the tests around are run: under pytest-asyncio where that is installed, else anyio."""

    def run_file(tests: str, *options: str) -> pytest.RunResult:
        if pytestconfig.pluginmanager.has_plugin("asyncio"):
            mode = pytestconfig.getini("asyncio_mode")
            pytester.makeini(f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function")
            tests = f"import pytest\npytestmark = pytest.mark.asyncio\n{tests}"
        else:
            pytester.makeini("[pytest]\nanyio_mode = auto")
        pytester.makeconftest(ON_ONE_LOOP)
        pytester.makepyfile(tests)
        result: pytest.RunResult = pytester.runpytest(*options)
        return result

    return run_file


def test_a_failure_shows_every_frame_with_time_connection_direction_and_channel(run):
    result = run(FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: expected paid on orders, saw []; connection 1 was excluded by socket_id",
            "*- relay transcript -*",
            *TRANSCRIPT,
        ]
    )


def test_the_traceback_ends_in_the_test_not_in_relay(run):
    result = run(FAILING)
    result.stdout.fnmatch_lines([">       await mine.expect(*"])
    result.stdout.no_fnmatch_line("*asserting.py*")


def test_a_test_that_passes_shows_nothing(run):
    result = run("async def test_all_is_well(relay):\n    await relay.connect()", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*relay transcript*")


def test_a_failure_without_the_fixture_shows_nothing(run):
    result = run("async def test_wrong():\n    assert False")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*relay transcript*")


def test_each_hub_of_a_test_has_its_own_transcript(run):
    result = run(
        "async def test_wrong(relay, relay_factory):\n"
        "    await relay_factory().connect()\n"
        "    assert not await relay.connect()"
    )
    result.stdout.fnmatch_lines(["*- relay transcript -*", "*#1 S>*", "*- relay transcript 2 -*", "*#1 S>*"])


def test_a_fixture_that_fails_shows_the_transcript_too(run):
    result = run(
        "import pytest, asyncio\n"
        "@pytest.fixture\n"
        "def broken(relay):\n"
        "    relay.transcript.note(1, 'sent', b'{}')\n"
        "    raise RuntimeError\n"
        "async def test_wrong(broken): pass"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*- relay transcript -*", "*#1 C> {}"])


def test_a_long_transcript_is_cut_at_its_beginning(run):
    result = run(
        "async def test_wrong(relay):\n"
        "    await (await relay.connect()).subscribe('orders')\n"
        "    for n in range(300):\n"
        "        await relay.hub.trigger('orders', f'paid-{n}', '')\n"
        "    assert False"
    )
    result.stdout.fnmatch_lines(["... 103 frames before these", '*"event":"paid-299"*'])


def test_frames_that_are_not_json_are_shown_as_they_are(run):
    result = run(
        "async def test_wrong(relay):\n"
        "    await (await relay.connect()).send_raw('no json')\n"
        "    assert False"
    )  # fmt: skip
    result.stdout.fnmatch_lines(["*#1 C> no json", '*#1 S> {"event":"pusher:error",*'])


FAILING_CALLBACK = """
def failing(event):
    assert event.data == {"id": 7}

async def test_payment(relay):
    orders = await (await relay.connect()).subscribe("orders")
    orders.bind("paid", failing)
    await relay.hub.trigger("orders", "paid", {"id": 8})
    await relay.hub.settle()
"""


def test_a_callback_that_fails_makes_its_test_fail_and_is_shown(run):
    result = run(FAILING_CALLBACK)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">       assert event.data == {*", "E *AssertionError: *", "*- relay transcript -*"])


FAILING_AT_THE_END = """
import asyncio, pytest

async def publish(relay):
    orders = await (await relay.connect()).subscribe("orders")
    orders.bind("paid", lambda event: 1 / 0)
    await relay.hub.trigger("orders", "paid", "")
    await relay.hub.settle()

@pytest.fixture
def late(relay):
    yield
    loop = asyncio.new_event_loop()
    loop.run_until_complete(publish(relay))
    loop.close()

async def test_payment(late): pass
"""


def test_a_callback_that_fails_while_fixtures_end_is_an_error(run):
    result = run(FAILING_AT_THE_END)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E *ZeroDivisionError: *"])
