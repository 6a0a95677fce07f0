"""What the repository does not hold: lock files, addresses of package registries, a package without its types."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOCK_FILES = {
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
    "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock",
}  # fmt: skip

# Written so that this file does not match itself. Everybody has their own registry or mirror: name none.
REGISTRY = re.compile(
    r"registry[.]npmjs|registry[.]yarnpkg|files[.]pythonhosted|pypi[.]org/simple|https?://\S+/simple/"
    r"|--(extra-)?index[-]url|--regi[s]try|\"resolve[d]\":"
)


@pytest.fixture(scope="module")
def files(require) -> list[Path]:
    """Everything git has or would add."""
    git = require("git", "apt-get install git")
    if not ROOT.joinpath(".git").exists():
        pytest.skip("not a git checkout: only there is it known which files belong to the repository")
    listing = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [path for name in names if (path := ROOT / name).is_file()]


def test_no_lock_files(files):
    assert [str(path) for path in files if path.name in LOCK_FILES] == []


def test_no_registry_addresses(files):
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        for match in REGISTRY.finditer(path.read_text(errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize("package", ["relay", "relay_transports"])
def test_package_ships_its_types(package):
    assert ROOT.joinpath(package, "py.typed").is_file()
