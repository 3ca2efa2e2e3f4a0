"""What the documents say is true: commands, options, links, targets, settings, the format and its checks."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from cli.main import main
from local.generate import GENERATED
from local.helm import VARIABLE
from local.real import sources
from shared.formats import backupset, cluster_state, extra_parts
from shared.formats.manifest import Signer
from shared.policy import parse_policy
from shared.settings import definitions
from shared.settings.environment import schedule_setting_name
from shared.settings.timers import SCHEDULES
from shared.wiring import BACKUPS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / "docs").rglob("*.md"),
]
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
FORMAT = ROOT / "docs" / "format.md"

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
# `groundcrew` followed by a word of its own, so no key's prefix, no `groundcrew <version>`, no `"$@"`.
COMMAND = re.compile(r"(?<![\w./-])(?:groundcrew|\S*python -m cli) +(?![<{\"])([^|;&#─)]*)")
HELP = ("-h", "--help")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_document = pytest.mark.parametrize("path", sorted(DOCUMENTS), ids=named)
each_adr = pytest.mark.parametrize("path", ADRS, ids=named)


def code(text: str) -> Iterator[tuple[str, bool]]:
    """The lines of blocks, continued ones joined, and inline code; whether it is to be run as it stands."""
    for language, block in FENCE.findall(text):
        yield from ((line, language == "sh") for line in block.replace("\\\n", " ").splitlines())
    for paragraph in FENCE.sub("", text).split("\n\n"):
        yield from ((" ".join(found.split()), False) for found in INLINE.findall(paragraph))


def commands(text: str) -> Iterator[tuple[str, bool]]:
    for line, whole in code(text):
        for found in COMMAND.findall(line):
            yield found.strip(), whole


def option(command: click.Command, name: str) -> click.Option | None:
    options = (p for p in command.params if isinstance(p, click.Option))
    return next((o for o in options if name in (*o.opts, *o.secondary_opts)), None)


def problem(words: str, *, whole: bool) -> str:
    """What is wrong with a command line, or nothing; `whole` if nothing that is needed may be left out."""
    command: click.Command = main
    given: set[str | None] = set()
    arguments: list[str] = []
    waiting = shlex.split(words)
    while waiting:
        word = waiting.pop(0)
        if word.startswith("-"):
            name, _, value = word.partition("=")
            known = option(command, name)
            if known is None and name not in HELP:
                return f"{command.name} has no option {name}"
            given.add(known.name if known else None)
            if known and not known.is_flag and not value and not (waiting and waiting.pop(0)):
                return f"{name} wants a value"
        elif isinstance(command, click.Group):
            called = command.get_command(click.Context(command), word)  # which imports it
            if called is None:
                return f"{command.name} has no command {word}"
            command = called
        else:
            arguments.append(word)
    return misfit(command, given, arguments, whole=whole)


def misfit(command: click.Command, given: set[str | None], arguments: list[str], *, whole: bool) -> str:
    takes = [p for p in command.params if isinstance(p, click.Argument)]
    if len(arguments) > len(takes) and all(a.nargs == 1 for a in takes):
        return f"{command.name} takes no argument {arguments[len(takes)]}"
    if not whole or None in given:
        return ""
    if isinstance(command, click.Group) and not (given or command.invoke_without_command):
        return f"{command.name} wants a command"
    wanted = [p.name for p in command.params if p.required and isinstance(p, click.Option)]
    missing = [name for name in wanted if name not in given] + [
        a.name for a in takes[len(arguments) :] if a.required
    ]
    return f"{command.name} wants {missing[0]}" if missing else ""


@each_document
def test_every_command_in_a_document_can_be_given(path: Path) -> None:
    found = {line: problem(line, whole=whole) for line, whole in commands(path.read_text())}
    assert not {line: what for line, what in found.items() if what}


def strings_of(path: Path) -> Iterator[str]:
    """The texts in a module; what an f-string puts in is an ellipsis."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("folder", ["shared", "cli", "functions", "local"])
def test_every_command_that_a_message_advises_is_there(folder: str) -> None:
    """Advice is followed at three in the morning: `groundcrew deploy statsu` helps nobody."""
    advised, wrong = 0, []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for text in strings_of(path):
            for name, sub in re.findall(r"groundcrew ([a-z-]+)(?: ([a-z_-]+))?", text):
                group = main.get_command(click.Context(main), name)
                if not isinstance(group, click.Group):
                    continue
                advised += 1
                if sub and sub not in group.commands and not sub.startswith("-"):
                    wrong.append(f"{named(path)}: groundcrew {name} {sub}")
    assert wrong == []
    assert advised or folder == "functions"


@each_document
def test_only_the_report_and_the_page_of_health_are_said_to_show_anything(path: Path) -> None:
    # `/api/health` itself tells anybody, from memory, that the app runs; these ask for no more.
    text = "" if path.name in ("GroundcrewSilent.md", "CHANGELOG.md") else path.read_text()
    lines = [line for line in text.splitlines() if re.search(r"/api/health(?![/\w])", line)]
    assert not [line for line in lines if "no more" not in line]


def test_the_runbooks_hold_commands_to_be_checked() -> None:
    found = {line for path in DOCUMENTS for line, whole in commands(path.read_text()) if whole}
    assert {line.split()[0] for line in found} >= {"backups", "restore", "keys"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        pytest.param("restor latest", "no command restor", id="a command that is not"),
        pytest.param("backups lst --all", "no command lst", id="a subcommand that is not"),
        pytest.param("restore latest --target URI", "no option --target", id="an option that is not"),
        pytest.param("deploy override abc", "wants gate", id="a needed option left out"),
        pytest.param("backups show", "wants reference", id="a needed argument left out"),
        pytest.param("backups list latest", "no argument latest", id="an argument too many"),
        pytest.param("backups", "wants a command", id="a group by itself"),
        pytest.param("keys generate -o", "-o wants a value", id="a value left out"),
    ],
)
def test_the_check_of_commands_finds(line: str, what: str) -> None:
    assert what in problem(line, whole=True)


def slugs(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = INLINE.sub("", FENCE.sub("", path.read_text()))
    broken = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if target.startswith(("https://", "http://")):
            continue
        there = (path.parent / target) if target else path
        if not there.exists() or (anchor and anchor not in slugs(there)):
            broken.append(f"{target}#{anchor}")
    assert not broken


@each_document
def test_every_make_target_is_in_the_makefile(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line.partition(" #")[0] for line, _ in code(path.read_text())]
    named = {target for line in lines for target in re.findall(r"(?:^|\s)make ([a-z-]+)", line)}
    assert named <= targets


@each_document
def test_every_setting_is_one_that_something_reads(path: Path) -> None:
    known = {setting.name for setting in definitions.SETTINGS} | {VARIABLE, sources.VARIABLE}
    known |= {schedule_setting_name(timer) for timer in SCHEDULES}
    for workflow in (ROOT / "infra/github").rglob("*.yml"):  # variables of the chart's repository
        known |= set(re.findall(r"\bvars\.(GROUNDCREW_[A-Z0-9_]+)", workflow.read_text()))
    named = set(re.findall(r"\bGROUNDCREW_[A-Z0-9_]*[A-Z0-9]", path.read_text()))
    for_tests = {name for name in named if name.startswith("GROUNDCREW_TEST_")}
    assert named - for_tests <= known
    read = "".join(
        file.read_text()
        for folder in ("tests", "local")
        for file in (ROOT / folder).rglob("*.py")
        if file != Path(__file__)
    )
    assert not {name for name in for_tests if name not in read}


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_what_is_generated_is_current(name: str) -> None:
    assert (ROOT / name).read_text() == GENERATED[name](), "run `make generate`"


@each_adr
def test_every_decision_has_status_context_decision_and_consequences(path: Path) -> None:
    text = path.read_text()
    sections = re.split(r"^## +(.*)$", text, flags=re.MULTILINE)
    assert sections[1::2] == ["Status", "Context", "Decision", "Consequences"]
    assert all(body.strip() for body in sections[2::2])
    assert text.startswith(f"# {int(path.name[:4])}. ")


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for module in (backupset, extra_parts, cluster_state)
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    ],
)
def test_every_field_of_a_set_is_in_the_format(kind: type) -> None:
    told = set(INLINE.findall(FENCE.sub("", FORMAT.read_text())))
    fields = {{"klass": "class"}.get(field.name, field.name) for field in dataclasses.fields(kind)}
    assert fields <= told


def manifest(reason: str) -> backupset.Manifest:
    """One that holds nothing, with a reason that JSON has to be careful with."""
    at = datetime(2026, 3, 1, 1, 0, 0, 250_000, tzinfo=UTC)
    oplog = backupset.OplogSlice("1.1", "2.1", 0, 0, "0" * 32)
    source = backupset.BackupSource(("10.0.0.4:27017",), "8.0.4")
    plain = ("age1x",), (), oplog, (), (), None
    return backupset.Manifest(1, "20260301T010000Z", "daily", at, at, reason, "groundcrew 0", source, *plain)


def follow(folder: Path, *, python: bool) -> subprocess.CompletedProcess[str]:
    """Run what the format's description says about the signature, as it stands there."""
    section = FORMAT.read_text().partition("## Checking the signature")[2]
    by_jq, by_python = [block for language, block in FENCE.findall(section) if language == "sh"][:2]
    # Python's block stands for the two lines of jq's that write the files.
    script = by_python + "".join(by_jq.splitlines(keepends=True)[2:]) if python else by_jq
    argv = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("openssl")), reason="needs jq and openssl")
@pytest.mark.parametrize(
    ("reason", "python"),
    [
        pytest.param('"schedule": grüße 🚀 \\ \t', False, id="by jq"),
        pytest.param('"schedule": grüße 🚀 \\ \x7f', True, id="by Python"),
    ],
)
def test_stock_tools_check_a_signature_as_described(reason: str, python: bool, tmp_path: Path) -> None:
    signed = Signer.generate().sign(manifest(reason))
    (tmp_path / "manifest.json").write_bytes(signed)
    done = follow(tmp_path, python=python)
    assert "Verified Successfully" in done.stdout, done.stderr
    (tmp_path / "manifest.json").write_bytes(signed.replace(b"schedule", b"schedulf"))
    done = follow(tmp_path, python=python)
    assert done.returncode != 0
    assert "Signature Verification Failure" in done.stdout + done.stderr


THREATS = ROOT / "docs" / "threat-model.md"


def test_every_row_of_the_threat_model_is_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    rows = [line for line in THREATS.read_text().splitlines() if line.startswith("| ") and "|---" not in line]
    cells = [row.strip("| ").split(" | ")[-1] for row in rows]
    named = [INLINE.findall(cell) for cell in cells if cell not in ("test", "none: that is how it is")]
    assert len(named) > 25
    for names in named:
        assert names
        assert all(f"def {name}(" in tests for name in names), names


def _messages_of(name: str) -> str:
    """The first cells of a runbook's tables, and the first sentence below each heading."""
    text = (ROOT / "docs" / "runbooks" / name).read_text()
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return "\n\n".join([*cells, *re.findall(r"^## .*\n\n(`[^`]+`)", text, re.MULTILINE)])


@pytest.mark.parametrize("name", ["verify-failed.md", "backup-failed.md"])
def test_what_a_runbook_quotes_is_said_by_the_code(name: str) -> None:
    sources = " ".join(
        path.read_text() for folder in ("shared", "cli") for path in (ROOT / folder).rglob("*.py")
    )
    quoted = [cell for cell in INLINE.findall(FENCE.sub("", _messages_of(name))) if " " in cell]
    assert quoted
    for message in quoted:
        for words in re.split(r"…|: ", message):
            if len(words.strip()) > 8 and not words.startswith(("groundcrew", "az ", "kubectl")):
                assert words.strip() in sources, f"{name} quotes what nothing says: {message}"


def test_the_lifecycle_rules_by_hand_are_a_day_longer_than_what_the_first_policy_keeps() -> None:
    guide = (ROOT / "docs" / "getting-started.md").read_text()
    rules = json.loads(guide.partition("<<'END'\n")[2].partition("END\n")[0])["rules"]
    # https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-policy-structure
    days = {
        prefix: rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterCreationGreaterThan"]
        for rule in rules
        for prefix in rule["definition"]["filters"]["prefixMatch"]
    }
    ages = parse_policy((ROOT / "policy.yaml").read_text()).backup.keep.ages
    kept = {f"{BACKUPS}/sets/{klass}/": age.days + 1 for klass, age in ages.items()}
    assert days == {**kept, f"{BACKUPS}/pitr/": ages["daily"].days + 1}
