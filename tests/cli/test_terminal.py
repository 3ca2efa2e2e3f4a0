"""Output as it arrives: at a terminal, in a pipe, on a full disk, for who wants less of it or more."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.common import choose_policy, find_policy
from cli.main import main
from shared.kernel.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
ID = "backups/sets/manual/20260102T030405Z"
TABLE = (
    "from cli.console import print_table;"
    f"print_table('Sets', ('set', 'n', 'why'), [('{ID}', 1234, 'it [was] ' * 9), ('b', 5, 'y')])"
)


def run_at_terminal(code: str, *, columns: int, **environment: str) -> str:
    """What a terminal of that width shows of the Python code."""
    ours, theirs = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), **environment}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=settings, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while piece := read_or_nothing(ours):
            shown += piece
        process.wait(30)
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def read_or_nothing(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says EIO when the other end is closed
        return b""


def test_a_narrow_terminal_gets_lines_instead_of_a_table() -> None:
    shown = run_at_terminal(TABLE, columns=59, NO_COLOR="1")
    assert shown.startswith(f"Sets\n\nset: {ID}\nn: 1,234\nwhy: it [was]")


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_what_has_no_space_in_it_is_never_broken(columns: int) -> None:
    shown = run_at_terminal(TABLE, columns=columns, NO_COLOR="1")
    assert ID in shown
    assert "│" not in shown
    assert shown.count("[was]") == 9
    assert max(map(len, shown.splitlines())) <= columns


def test_a_pipe_gets_each_row_in_one_line_and_no_title() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLE], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["set", ID, "b"]
    assert lines[1].count("[was]") == 9


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("1", False)], ids=["unset", "set"])
def test_no_color_takes_every_escape_code_away(variable: str, coloured: bool) -> None:
    code = "from cli.main import main; main(['backups', 'list', '--storage', 'nosuch..'])"
    shown = run_at_terminal(code, columns=100, NO_COLOR=variable)
    assert "not a storage account's name" in shown
    assert ("\x1b[" in shown) is coloured


SETTINGS_LIST = "from cli.main import main; main(['keys', 'generate', '--help'])"
FAULTY = [sys.executable, "-c", SETTINGS_LIST]


def test_a_disk_without_room_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(FAULTY, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, "error: cannot write the answer: No space left on device\n")


def test_a_closed_pipe_is_no_error_message() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(FAULTY, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_table_into_a_closed_pipe_is_no_error_message() -> None:
    code = (
        "import click; from cli.console import Group, print_table\n"
        "@click.command()\n"
        "def table(): print_table('t', ('a',), [('x',)])\n"
        "Group('g', commands={'table': table}).main(['table'])"
    )
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_work_goes_on_when_nobody_reads_the_notes_any_more() -> None:
    code = (
        "from cli.console import progress_bar\n"
        "with progress_bar() as reporter:\n"
        "    for n in range(9): reporter.note(str(n))\n"
        "print('done')"
    )
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=writer, text=True, timeout=30)
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, "done\n")


NOTES = (
    "import click, logging; from cli.common import add_common_options\n"
    "from cli.console import Group, progress_bar\n"
    "@click.command()\n"
    "def work():\n"
    "    logging.getLogger('x').info('work.begun', extra={'set': 'S'})\n"
    "    logging.getLogger('x').warning('work.slow', extra={'set': 'S'})\n"
    "    with progress_bar() as r: r.phase('Dumping', 1); r.note('half')\n"
    "    print('answer')\n"
    "g = Group('g', commands={'work': work}); add_common_options(g); g.main()"
)


@pytest.mark.parametrize(
    ("words", "notes", "lines"),
    [
        ("work", True, ["work.slow"]),
        ("work -q", False, ["work.slow"]),
        ("-q work", False, ["work.slow"]),
        ("-v work", True, ["work.begun", "work.slow"]),
        ("work --verbose", True, ["work.begun", "work.slow"]),
    ],
)
def test_quiet_and_verbose_may_stand_anywhere(words: str, notes: bool, lines: list[str]) -> None:
    argv = [sys.executable, "-c", NOTES, *words.split()]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "answer\n"
    assert ("Dumping" in done.stderr and "half" in done.stderr) is notes
    logged = [line for line in done.stderr.splitlines() if '{"set": "S"}' in line]
    assert [line.split()[1] for line in logged] == lines


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_that_of_the_package(option: str) -> None:
    assert CliRunner().invoke(main, [option]).output == f"groundcrew, version {VERSION}\n"
    assert f"## {VERSION} " in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(["work/policy.yaml", "home/policy.yaml"], "work/policy.yaml", id="the directory's own"),
        pytest.param(["repo/.git", "repo/policy.yaml"], "repo/policy.yaml", id="that of the checkout"),
        pytest.param(["policy.yaml", "home/policy.yaml"], "home/policy.yaml", id="a stranger's above"),
        pytest.param(["home/policy.yaml"], "home/policy.yaml", id="the person's"),
        pytest.param([], None, id="none"),
    ],
)
def test_the_policy_is_looked_for_where_the_person_is(
    files: list[str], expected: str | None, tmp_path: Path
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    here = tmp_path / ("repo/deep" if "repo/.git" in files else "work")
    found = find_policy(here, tmp_path / "home")
    assert found == (expected and tmp_path / expected)


def test_without_a_policy_anywhere_the_one_of_this_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    here, home, beside = (tmp_path / name for name in ("here", "home", "code/policy.yaml"))
    assert choose_policy(here, home, beside) == here / "policy.yaml"
    beside.parent.mkdir()
    beside.touch()
    assert choose_policy(here, home, beside) is None
    here.mkdir()
    (here / "policy.yaml").touch()
    assert choose_policy(here, home, beside) == here / "policy.yaml"


def test_no_command_of_ours_takes_the_common_options_for_something_else() -> None:
    def walk(command: click.Command) -> list[click.Command]:
        context = click.Context(command)
        names = command.list_commands(context) if isinstance(command, click.Group) else ()
        below = [command.get_command(context, name) for name in names]  # which imports them
        return [command, *(each for one in below if one for each in walk(one))]

    walked = walk(main)
    assert len(walked) > 50
    for command in walked:
        names = [name for p in command.params for name in (*p.opts, *p.secondary_opts)]
        assert len(names) == len(set(names)), command.name
        assert {"-q", "-v"} <= set(names)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_asks_the_command(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert (result.exit_code, f"_GROUNDCREW_COMPLETE={shell}_complete" in result.output) == (0, True)


def test_the_shell_is_given_the_commands() -> None:
    words = {"_GROUNDCREW_COMPLETE": "bash_complete", "COMP_WORDS": "groundcrew back", "COMP_CWORD": "1"}
    code = "from cli.main import main; main(prog_name='groundcrew')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words}, cwd=ROOT, capture_output=True, text=True,
        timeout=30,
    )  # fmt: skip
    assert done.stdout.split() == ["plain,backups"]
