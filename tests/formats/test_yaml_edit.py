"""Entries leave a YAML file with their lines, and everything else stays byte for byte."""

from __future__ import annotations

import pytest

from shared.formats.yaml_edit import EntryPath, TextEdits
from shared.kernel.errors import Refused

VALUES = """\
# of the whole file
host: chat.example.org
smtp:  # how mail is sent
  user: crew   # not a secret
  # to be moved
  password: hunter2 # since March
  tls: true

extraEnv:
  - name: A
    value: "1"
  # the second
  - name: B
    value: "2"
list: [a, b]
map: {a: 1, b: 2}
last: |
  text
"""


def edit(source: str = VALUES) -> TextEdits:
    return TextEdits(source, "values.yaml")


def without(*lines: str) -> str:
    """The file without these lines."""
    kept = VALUES
    for line in lines:
        assert kept.count(line + "\n") == 1
        kept = kept.replace(line + "\n", "")
    return kept


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (("host",), ["host: chat.example.org"]),
        (("smtp", "password"), ["  password: hunter2 # since March"]),
        (("smtp", "tls"), ["  tls: true"]),
        (("extraEnv", 0), ['  - name: A\n    value: "1"']),
        (("extraEnv", 1), ['  - name: B\n    value: "2"']),
        (("extraEnv", 1, "value"), ['    value: "2"']),
        (("list",), ["list: [a, b]"]),
        (("map",), ["map: {a: 1, b: 2}"]),
        (("last",), ["last: |\n  text"]),
    ],
)
def test_an_entry_goes_with_its_lines_and_the_comment_behind_it(path: EntryPath, lines: list[str]) -> None:
    edits = edit()
    assert edits.can_remove(path)
    assert edits.text() == VALUES, "to ask changes nothing"
    assert edits.remove(path)
    assert edits.text() == without(*lines)


@pytest.mark.parametrize(
    "path",
    [
        ("nothing",),
        ("smtp", "nothing"),
        ("smtp", 0),
        ("extraEnv", 2),
        ("extraEnv", "name"),
        ("extraEnv", 0, "name"),  # shares its line with the dash
        ("list", 0),
        ("map", "a"),
        ("host", "below"),
        ("host", 0),
    ],
)
def test_what_is_not_there_or_shares_its_line_stays(path: EntryPath) -> None:
    edits = edit()
    assert not edits.can_remove(path)
    assert not edits.remove(path)
    assert not edits.replace(path, "other: 1")
    assert edits.text() == VALUES


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("a: 1\n? b\n: 2\n", ("b",)),
        ("{a: 1, b: 2}\n", ("a",)),
        ("map: {\n  a: 1,\n  b: 2\n}\n", ("map", "b")),
        ("a:\n  - - 1\n", ("a", 0, 0)),
    ],
)
def test_an_entry_that_is_written_otherwise_stays(source: str, path: EntryPath) -> None:
    edits = edit(source)
    assert not edits.remove(path)
    assert edits.text() == source


def test_an_entry_is_replaced_where_it_stood_with_its_indentation() -> None:
    edits = edit()
    assert edits.replace(("smtp", "password"), "passwordFrom: sealed")
    assert edits.text() == VALUES.replace("  password: hunter2 # since March\n", "  passwordFrom: sealed\n")


def test_several_edits_are_made_at_once_in_whatever_order_they_come() -> None:
    edits = edit()
    edits.append("existingSecret: rocketchat")
    assert edits.remove(("last",))
    assert edits.replace(("host",), "host: other.example.org")
    assert edits.remove(("smtp", "tls"))
    edits.append("more: 1")
    expected = without("last: |\n  text", "  tls: true").replace("chat.example.org", "other.example.org")
    assert edits.text() == f"{expected}existingSecret: rocketchat\nmore: 1\n"


def test_a_list_that_loses_all_of_its_items_is_an_empty_one() -> None:
    edits = edit()
    assert edits.remove(("extraEnv", 0))
    assert "extraEnv:\n" in edits.text(), "one is left"
    assert edits.remove(("extraEnv", 1))
    gone = without('  - name: A\n    value: "1"', '  - name: B\n    value: "2"')
    assert edits.text() == gone.replace("extraEnv:\n", "extraEnv: []\n")


def test_a_list_that_goes_itself_leaves_nothing() -> None:
    edits = edit()
    assert edits.remove(("extraEnv", 0))
    assert edits.remove(("extraEnv", 1))
    whole = edit("before: 1\nlist:\n- a\nafter: 2\n")
    assert whole.remove(("list",))
    assert whole.text() == "before: 1\nafter: 2\n"
    assert whole.remove(("before",))
    assert whole.text() == "after: 2\n"


def test_a_replaced_item_still_fills_its_list() -> None:
    edits = edit("list:\n  - a\n  - b\n")
    assert edits.remove(("list", 0))
    assert edits.text() == "list:\n  - b\n"
    assert edit("a: 1\nlist:\n- x\n").remove(("list", 0))


def test_the_entry_before_a_list_does_not_take_it_along() -> None:
    edits = edit("before: 1\nlist:\n- a\n")
    assert edits.remove(("before",))
    assert edits.remove(("list", 0))
    assert edits.text() == "list: []\n"


@pytest.mark.parametrize("source", ["a: 1\nb: 2", "a: 1\nb: 2\n", "a: 1\nb: 2  # no newline behind it"])
def test_the_last_line_may_have_no_end(source: str) -> None:
    edits = edit(source)
    assert edits.remove(("b",))
    edits.append("c: 3")
    assert edits.text() == "a: 1\nc: 3\n"


def test_an_empty_line_at_the_beginning_stays() -> None:
    edits = edit("\na: 1\nb: 2\n")
    assert edits.remove(("a",))
    assert edits.text() == "\nb: 2\n"


def test_what_is_appended_begins_a_line_of_its_own() -> None:
    edits = edit("a: 1")
    assert edits.text() == "a: 1"
    edits.append("b: 2")
    assert edits.text() == "a: 1\nb: 2\n"


@pytest.mark.parametrize("source", ["", "- a\n", "text\n"])
def test_a_file_that_is_no_mapping_is_refused_by_its_name(source: str) -> None:
    with pytest.raises(Refused, match=r"values\.yaml is not one mapping of values"):
        edit(source)
