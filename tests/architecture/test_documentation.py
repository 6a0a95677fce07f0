"""Every block of code in README.md and the guides is run or checked; one that nobody checks fails.

A comment on the line above the block says how:

    <!-- test: run -->         a program that ends well; `web.run_app(app)` in it starts the app and stops it
    <!-- test: continue -->    goes on from the block above, and is run together with it
    <!-- test: pytest -->      a test file
    <!-- test: from PATH -->   stands word for word in that file, which has tests of its own
    <!-- test: shown WHY -->   nothing to run: an output, a drawing

Without a comment: the lines of a shell block are checked one by one (`check_command`), JSON and TOML are parsed.
"""

import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
    if page.exists() and "design" not in page.parts
]
PYPROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))

BLOCK = re.compile(
    r"(?:^<!-- test: (?P<how>[^\n]+) -->\n\n?)?^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)

# Commands with nothing of ours in them, and why they need no check.
TAKEN_ON_TRUST = {
    "git clone": "needs the network, and the address is the reader's to see",
    "openssl rand": "OpenSSL's own; the test of App's master key names it too",
    "cd": "the folder is the one just cloned",
    "python3 -m venv": "Python's own",
    "source": "activates the line above",
    "curl": "asks the server of the block above; the same request stands in the REST tests",
}


@dataclass(frozen=True)
class Block:
    """One fenced block: where it starts, its language, how to test it, its text, the program it goes on from."""

    where: str
    language: str
    how: str
    code: str
    before: str = ""


def blocks(page: str, name: str) -> Iterator[Block]:
    program = ""
    for match in BLOCK.finditer(page):
        language, how = match["language"].strip(), match["how"] or ""
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        if language.startswith("{") and not language.startswith("{code"):
            continue  # a directive of the documentation, not code
        where = f"{name}:{page.count(chr(10), 0, match.start('language')) + 1}"
        yield Block(where, language, how, code, program if how == "continue" else "")
        program = program + code if how == "continue" else code


def succeed(command: list[str | Path], folder: Path) -> None:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def run_program(code: str, folder: Path) -> None:
    program = folder / "program.py"
    program.write_text(code)
    if "fullchain.pem" in code:
        certificate = trustme.CA().issue_cert("example.com")
        certificate.private_key_pem.write_to_path(folder / "privkey.pem")
        for part in certificate.cert_chain_pems:
            part.write_to_path(folder / "fullchain.pem", append=True)
    succeed([sys.executable, __file__, program], folder)


def run_tests(code: str, folder: Path) -> None:
    tests = folder / "test_block.py"
    tests.write_text(code)
    config = f"--config-file={ROOT / 'pyproject.toml'}"
    succeed([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", config, tests], folder)


def commands(language: str, code: str) -> Iterator[list[str]]:
    """The commands of a shell block, pipes and `&&` taken apart; in a console block, what stands after `$ `."""
    for line in code.replace("\\\n", " ").splitlines():
        if language == "console" and not line.startswith("$ "):
            continue
        words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word in {";", "|", "||", "&", "&&", ">"}:
                if command:
                    yield command
                command = []
            elif command or not re.match(r"[A-Z_]+=", word):
                command.append(word)


def relay_understands(arguments: list[str]) -> bool:
    from relay.cli import build_parser

    try:
        build_parser().parse_args(arguments)
    except SystemExit as leaving:  # after --help, or a complaint
        return not leaving.code
    return True


def check_command(command: list[str]) -> None:
    match command:
        case ["make", *words]:
            assert {word for word in words if "=" not in word} <= MAKE_TARGETS
        case ["relay", *arguments]:
            assert relay_understands(arguments)
        case ["pip", "install", *requirements]:
            for name, extras in re.findall(r"^([a-z][\w-]*)(?:\[(.*)\])?", "\n".join(requirements), re.MULTILINE):
                known = PYPROJECT["project"]["optional-dependencies"]
                assert name != PYPROJECT["project"]["name"] or set(filter(None, extras.split(","))) <= set(known)
        case ["python", script, *_] if script.endswith(".py"):
            assert ROOT.joinpath(script).is_file()
        case _:
            trusted = any(command[: len(words := known.split())] == words for known in TAKEN_ON_TRUST)
            assert trusted, f"nothing checks the command {shlex.join(command)!r}"


def check(block: Block, folder: Path) -> None:
    match block.how.split(maxsplit=1), block.language:
        case ["run" | "continue"], "python":
            run_program(block.before + block.code, folder)
        case ["pytest"], "python":
            run_tests(block.code, folder)
        case ["from", path], _:
            assert block.code.strip() in ROOT.joinpath(path).read_text()
        case ["shown", _], _:
            pass
        case [], "sh" | "bash" | "shell" | "console":
            for command in commands(block.language, block.code):
                check_command(command)
        case [], "json":
            json.loads(block.code)
        case [], "toml":
            tomllib.loads(block.code)
        case _:
            pytest.fail(f"{block.where}: nothing tests this {block.language or 'nameless'} block", pytrace=False)


ALL = [block for page in PAGES for block in blocks(page.read_text(), page.relative_to(ROOT).as_posix())]


@pytest.mark.parametrize("block", ALL, ids=[block.where for block in ALL])
def test_block(block, tmp_path):
    check(block, tmp_path)


@pytest.mark.parametrize(
    ("fence", "code"),
    [
        ("```python", "print('no comment above')"),
        ("<!-- test: run -->\n```python", "raise SystemExit(1)"),
        ("<!-- test: from LICENSE -->\n```text", "a word that is not in the licence: Pusher"),
        ("<!-- test: shown -->\n```text", "no reason given"),
        ("```sh", "make coffee"),
        ("```sh", "make test && rm -rf /"),
        ("```console", "$ pip install 'relay-hub[teleport]'\nDone."),
    ],
)
def test_a_wrong_block_is_found(fence, code, tmp_path):
    [block] = blocks(f"Text.\n\n{fence}\n{code}\n```\n", "page.md")
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(block, tmp_path)


@pytest.mark.parametrize(
    "page",
    [
        "<!-- test: run -->\n```python\nx = 1\n```\n\n<!-- test: continue -->\n```python\nassert x == 1\n```\n",
        "<!-- test: run -->\n```python\nfrom aiohttp import web\n\nweb.run_app(web.Application(), port=1)\n```\n",
        "<!-- test: pytest -->\n```python\nasync def test_nothing():\n    pass\n```\n",
        "<!-- test: from LICENSE -->\n```text\nMIT License\n```\n",
        "```sh\nPORT=1 make serve PORT=1 &  # comment\npip install relay-hub \\\n  'relay-hub[redis,nats]'\n```\n",
    ],
)
def test_a_right_block_passes(page, tmp_path):
    for block in blocks(page, "page.md"):
        check(block, tmp_path)


def run_app_without_staying(app, *, path=None, ssl_context=None, **_options) -> None:
    """Stand in for aiohttp's `run_app`: start the application on a free port, or on its socket, then stop it."""
    import asyncio

    from aiohttp import web

    async def start_and_stop() -> None:
        runner = web.AppRunner(await app if asyncio.iscoroutine(app) else app)
        await runner.setup()
        if path is None:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
        else:
            await web.UnixSite(runner, path, ssl_context=ssl_context).start()
        await runner.cleanup()

    asyncio.run(start_and_stop())


if __name__ == "__main__":
    from aiohttp import web

    web.run_app = run_app_without_staying
    runpy.run_path(sys.argv[1], run_name="__main__")
