"""What `import relay` gives."""

import subprocess
import sys

import relay
from relay import Publisher
from relay.client import Publisher as ClientPublisher
from relay.testing import Kit


def test_every_public_name_is_there():
    for name in relay.__all__:
        assert getattr(relay, name) is not None
        assert name in dir(relay)


def test_the_publisher_to_write_code_against_comes_from_relay_itself():
    assert Publisher is ClientPublisher
    kit = Kit()
    hub: Publisher = kit.hub
    assert hub is kit.hub
    kit.close()


def test_a_name_is_imported_when_it_is_used():
    program = "import sys, relay; before = 'relay.client' in sys.modules; relay.Publisher; print(before)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "False\n"
