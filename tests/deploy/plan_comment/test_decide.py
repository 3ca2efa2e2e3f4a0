"""The comment's text: what it tells, and that nothing in it can pass for more than it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.deploy.diff.manifests import diff_manifests
from shared.deploy.model import Gate
from shared.deploy.plan_comment.decide import MARKER, PlanProposal, build_comment, without_noise

SHA, BASE = "a" * 40, "b" * 40
GATES = (
    Gate("pull request", False, "#5 by ada is open", "Merge it", pending=True),
    Gate("values", True, "no errors", warnings=("line 3: smtp is ignored",)),
    Gate("secrets in values", False, "1 error", "Encrypt it"),
)


def config_map(**data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": data}


def propose(text: str = "", **more: object) -> PlanProposal:
    gates = (*GATES, Gate("paths", True, text)) if text else GATES
    return PlanProposal(SHA, BASE, gates, **more)


def blocks_removed(comment: str) -> str:
    """The comment without its code blocks, as GitHub tells them apart: a fence ends with one as long."""
    kept, fence = [], ""
    for line in comment.split("\n"):
        run = re.match(r"`{3,}", line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif run:
            fence = run[0]
        else:
            kept.append(line)
    assert not fence, "every block ends"
    return "\n".join(kept)


def test_it_names_commit_gates_reasons_hints_and_warnings() -> None:
    diff = diff_manifests([config_map(greeting="hello")], [config_map(greeting="goodbye")])
    text = build_comment(propose(diff=diff), "production")
    assert text.startswith(f"{MARKER}\n**Plan of aaaaaaa for production**: closed: secrets in values; ")
    assert "waits: pull request; 1 warning" in text.splitlines()[1]
    assert "waits  pull request: #5 by ada is open. Merge it" in text
    assert "closed  secrets in values: 1 error. Encrypt it" in text
    assert "warns  values: line 3: smtp is ignored" in text
    assert "<summary>What it changes against bbbbbbb</summary>" in text
    assert "hello -> goodbye" in text.replace('"', "")
    assert "Not known before the merge" in text


def test_without_a_closed_gate_it_says_so() -> None:
    gates = (Gate("values", True, "no errors"),)
    text = build_comment(PlanProposal(SHA, BASE, gates), "production")
    assert text.splitlines()[1] == "**Plan of aaaaaaa for production**: no gate is closed"
    assert "<details>" not in text


def test_one_that_deploys_nothing_says_why_and_no_more() -> None:
    text = build_comment(propose(unchanged="nothing under chart/** changed"), "production")
    assert "it deploys nothing" in text.splitlines()[1]
    assert "nothing under chart/** changed" in text
    assert "Not known before the merge" not in text


def test_notes_stand_with_the_gates() -> None:
    text = build_comment(propose(notes=("main does not render",)), "production")
    assert "note: main does not render" in text


HOSTILE = [
    "```\n# safe to merge\n@everyone",
    "`````` @grace <img src=x>",
    "[click](https://evil.example)\n\n</details>",
    MARKER,
    "\u202etxet",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_others_wrote_stays_in_its_block(text: str) -> None:
    diff = diff_manifests([config_map(a="1")], [config_map(a=text)])
    comment = build_comment(propose(text, diff=diff, notes=(text,)), "production")
    outside = blocks_removed(comment)
    for sign in ("@", "img", "click", "safe", "\u202e"):
        assert sign not in outside
    assert outside.count(MARKER) == 1
    assert "\u202e" not in comment


@given(st.text(max_size=300), st.text(max_size=60))
def test_whatever_others_write_our_own_words_are_the_same(text: str, environment: str) -> None:
    plain = blocks_removed(build_comment(propose("x", notes=("y",)), "production"))
    told = blocks_removed(build_comment(propose(text or "x", notes=(text,)), "production"))
    assert told == plain
    head = build_comment(propose(), environment).split("\n")[1]
    assert not set("`@<>[]()*") & set(head.removeprefix("**Plan of ").replace("**: ", "", 1))


def test_it_is_never_longer_than_github_takes() -> None:
    many = {f"key{number}": "x" * 300 for number in range(2000)}
    diff = diff_manifests([config_map()], [config_map(**many)])
    gates = tuple(Gate(f"gate{number}", False, "y" * 3000) for number in range(300))
    text = build_comment(PlanProposal(SHA, BASE, gates, diff=diff), "production")
    assert len(text.encode()) < 60_000
    assert re.search(r"… and \d+ more lines", text)


@pytest.mark.parametrize(
    ("gates", "length", "left"),
    [
        pytest.param(80, 1, "", id="as many lines as fit"),
        pytest.param(81, 1, "… and 1 more lines", id="a line too many"),
        # 62 lines of 401 signs, each with its end, are 24,924: another would not fit into 25,000.
        pytest.param(62, 900, "", id="as many signs as fit"),
        pytest.param(63, 900, "… and 1 more lines", id="too many signs"),
    ],
)
def test_what_a_block_leaves_out_is_counted(gates: int, length: int, left: str) -> None:
    shut = tuple(Gate("g", False, "y" * length) for _ in range(gates))
    lines = build_comment(PlanProposal(SHA, BASE, shut), "production").splitlines()
    block = lines[lines.index("```text") + 1 : lines.index("```")]
    assert (block[-1] if left else "") == left
    assert len(block) == gates
    assert max(map(len, block)) <= 401


@pytest.mark.parametrize("more", [0, 1])
def test_a_block_is_filled_to_the_last_of_its_25000_signs(more: int) -> None:
    # Each line begins with "closed  g: ", and ends: 40 lines of 313 signs and 40 of 312 are 25,000.
    sizes = [301] * 40 + [300] * 39 + [300 + more]
    shut = tuple(Gate("g", False, "y" * size) for size in sizes)
    comment = build_comment(PlanProposal(SHA, BASE, shut), "production")
    assert ("… and 1 more lines" in comment) is bool(more)


def test_the_ends_of_short_lines_count_as_well() -> None:
    diff = diff_manifests([config_map()], [config_map(**{f"k{n:03}": "x" * 43 for n in range(399)})])
    lines = diff.text().splitlines()[:400]
    assert sum(map(len, lines)) - len(lines) < 25_000 < sum(map(len, lines)) + len(lines)
    assert re.search("… and [0-9]+ more lines", build_comment(propose(diff=diff), "production"))


def test_a_diff_is_shown_to_its_four_hundredth_line() -> None:
    for fields in (399, 400):
        diff = diff_manifests([config_map()], [config_map(**{f"k{n}": "x" for n in range(fields)})])
        lines = build_comment(propose(diff=diff), "production").splitlines()
        rest = len(diff.text().splitlines()) - 400
        assert (f"… and {rest} more lines" in lines) is (rest > 0)


def test_names_are_quoted_without_markdown_and_short() -> None:
    head = build_comment(propose(), "*prod* `x`" + "y" * 80).splitlines()[1]
    assert head.startswith(f"**Plan of aaaaaaa for prod x{'y' * 74}**: ")


def test_gates_that_are_closed_or_wait_are_told_apart_and_warnings_counted() -> None:
    for count, words in ((0, ""), (1, "; 1 warning"), (2, "; 2 warnings")):
        gates = (
            Gate("a", False, "no"),
            Gate("b", False, "no"),
            Gate("c", False, "soon", pending=True),
            Gate("d", True, "yes", pending=True, warnings=("w",) * count),
        )
        head = build_comment(PlanProposal(SHA, BASE, gates), "production").splitlines()[1]
        assert head == f"**Plan of aaaaaaa for production**: closed: a, b; waits: c{words}"


def test_what_a_chart_makes_up_at_random_is_no_change() -> None:
    def secret(password: str, host: str) -> dict[str, object]:
        data = {"password": password, "host": host}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": data}

    noise = diff_manifests([secret("r1", "one")], [secret("r2", "one")])
    assert without_noise(diff_manifests([secret("r1", "one")], [secret("r3", "one")]), noise).changes == ()
    (change,) = without_noise(diff_manifests([secret("r1", "one")], [secret("r3", "two")]), noise).changes
    assert [field.path for field in change.fields] == ["stringData.host"]
    gone = diff_manifests([secret("r1", "one")], [])
    assert without_noise(gone, noise) == gone
    assert without_noise(diff_manifests([secret("r1", "one")], [secret("r3", "one")]), noise).unchanged == 1


@pytest.mark.parametrize("run", ["```", "````", "`````````"])
def test_a_line_that_begins_with_a_fence_does_not_end_its_block(run: str) -> None:
    comment = build_comment(propose(unchanged=f"{run} @everyone"), "production")
    assert "@everyone" not in blocks_removed(comment)
    assert f"`{run}text" in comment.splitlines(), "the block's own fence is one longer"
