"""`make up` has something to show; the commands that it prints, and getting-started names, work as pasted."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "getting-started.md"
# It starts everything, and each command is a process of its own.
pytestmark = pytest.mark.timeout(600)
TRANSCRIPT = ROOT / "docs" / "getting-started-transcript.md"


@dataclass
class Up:
    """What `make up` printed."""

    text: str
    commands: list[str]
    state: Path

    def address(self, name: str) -> str:
        (line,) = [line for line in self.text.splitlines() if line.startswith(f"{name}  ")]
        return line.split()[-1]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    state = tmp_path_factory.mktemp("up")
    argv = [sys.executable, "-m", "local.up", "--state", str(state), "--port", "0"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        text = "".join(lines)
        block = text.partition("In another terminal:\n\n")[2].partition("\n\n")[0]
        yield Up(text, block.splitlines(), state)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def pasted(up: Up, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and output by command, all pasted into one shell somewhere else than in the checkout."""
    mark = "~~~~"
    lines = [f'{command} < /dev/null 2>&1\necho "{mark}$?{mark}"' for command in up.commands]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=tmp_path_factory.mktemp("elsewhere"),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path_factory.mktemp("home"))},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    found = re.findall(rf"(.*?){mark}(\d+){mark}\n", done.stdout, re.DOTALL)
    assert len(found) == len(up.commands), done.stdout + done.stderr
    return {command: (int(code), text) for command, (text, code) in zip(up.commands, found, strict=True)}


def said(pasted: dict[str, tuple[int, str]], beginning: str) -> str:
    (text,) = [text for command, (_, text) in pasted.items() if command.startswith(beginning)]
    return text


def test_every_command_that_is_printed_works_as_it_is_pasted(pasted: dict[str, tuple[int, str]]) -> None:
    failed = {command: told for command, (code, told) in pasted.items() if code}
    if shutil.which("curl") is None:
        failed = {command: told for command, told in failed.items() if not command.startswith("curl ")}
    assert failed == {}
    assert "every job could run tonight" in said(pasted, "groundcrew doctor")
    assert "PROVEN" in said(pasted, "groundcrew restore")
    assert "1 sets verified" in said(pasted, "groundcrew backups verify")
    assert ": sealed" in said(pasted, "groundcrew backups create")
    assert "rocketchat" in said(pasted, "groundcrew power status")
    assert "done" in said(pasted, "groundcrew deploy status")
    if shutil.which("curl") is None:
        pytest.skip("all but the last command works, which needs curl: install Debian's package of that name")
    answer = said(pasted, "curl")
    assert json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["status"] == "ok"


def test_a_second_one_is_sent_to_the_first_and_removes_nothing_of_it(up: Up) -> None:
    in_use = [up.state / "site" / "policy.yaml", up.state / "target" / "data"]
    assert all(path.exists() for path in in_use)
    argv = [sys.executable, "-m", "local.up", "--state", str(up.state), "--port", "0"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=90)
    address = up.address("health").removesuffix("/api/health")
    assert (done.returncode, "is running on" in done.stderr, address in done.stderr) == (1, True, True)
    assert all(path.exists() for path in in_use)


def test_there_is_a_backup_before_anybody_does_anything(up: Up) -> None:
    assert re.search(r"^made backup \d{8}T\d{6}Z$", up.text, re.MULTILINE)


def test_a_merge_was_deployed_before_anybody_does_anything(up: Up) -> None:
    assert re.search(r"^deployed [0-9a-f]{7}: done$", up.text, re.MULTILINE)


def test_the_pages_have_content(up: Up) -> None:
    page = requests.get(up.address("wake page"), timeout=30)
    assert (page.status_code, "rocketchat" in page.text) == (200, True)
    deploys = requests.get(up.address("deploy page"), timeout=30)
    assert (deploys.status_code, "8.2.0" in deploys.text) == (200, True)
    assert requests.get(up.address("health"), timeout=30).json() == {"status": "alive"}


def test_the_guide_goes_through_these_commands(up: Up) -> None:
    first = GUIDE.read_text().partition("## On your own machine")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(\. .*?)```", first, re.DOTALL)
    state = re.compile(r"\S*/(settings\.env|keys/recovery\.agekey)")
    port = re.compile(r"127\.0\.0\.1:\d+")

    def generic(line: str) -> str:
        return port.sub("HOST", state.sub(r"STATE/\1", line))

    assert [generic(line) for line in block.splitlines()] == [generic(line) for line in up.commands]


def generic(line: str) -> str:
    """A line without what differs from run to run: ids, numbers, paths, ports, the padding of tables."""
    line = re.sub(r"groundcrew-sign-\S+", "KEY", re.sub(r"\S*/(settings\.env|recovery\.agekey)", r"\1", line))
    line = re.sub(r"\b\d{8}T\d{6}Z\b|\b[0-9a-f]{40}\b|\b(?=[a-f]*\d)[0-9a-f]{7}\b", "ID", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,.]*", "N", line)).strip()


def test_the_transcript_is_what_the_commands_say(up: Up, pasted: dict[str, tuple[int, str]]) -> None:
    told = {generic(f"$ {command}"): text for command, (_, text) in pasted.items()} | {"$ make up": up.text}
    shown: dict[str, list[str]] = {}
    for block in re.findall(r"```\n(\$ .*?)```", TRANSCRIPT.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                lines = shown.setdefault(generic(line), [])
            elif line != "…":
                lines.append(generic(line))
    assert shown.keys() <= told.keys()
    assert len(shown) >= 9
    missing = {}
    for command, lines in shown.items():
        actual = [generic(line) for line in told[command].splitlines()]
        # By its beginning, since a table may get another column at its end.
        missing[command] = [line for line in lines if not any(one.startswith(line) for one in actual)]
    assert {command: lines for command, lines in missing.items() if lines} == {}
