"""The grammar: what is understood, what a typo is answered with, and that nothing invisible gets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.chatops.grammar import COMMANDS, parse_command
from shared.kernel.errors import UsageError

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("status", "status"),
        ("  STATUS\t", "status"),
        ("up", "up"),
        ("keep it up until 22:00", "up until 22:00"),
        ("keep up until  Monday 7:00", "up until Monday 7:00"),
        ("off for 2h machine vm1", "down for 2h machine vm1"),
        ("down machine vm1", "down machine vm1"),
        ("down tomorrow machine vm1", "down tomorrow machine vm1"),
        ("resume", "auto"),
        ("ORDERS", "orders"),
        ("cancel 20260302T181500-0a1b2c3d", "cancel 20260302T181500-0a1b2c3d"),
        ("hold for 2h", "hold for 2h"),
        ("hold for 1.5 hours because Moving a disk", "hold for 1.5 hours because Moving a disk"),
        ("release", "release"),
        ("release of ben", "release of ben"),
        ("backup now", "backup now"),
        (f"deploy {SHA.upper()}", f"deploy {SHA}"),
        ("deploy #12", "deploy #12"),
        ("PLAN 12", "plan 12"),
        ("rollback 3 restored daily/20261123T010000Z", "rollback 3 restored daily/20261123T010000Z"),
        ("renew chat namespace rocketchat", "renew chat namespace rocketchat"),
        ("who did rollback 3", "who did rollback 3"),
        ("approve 0123456789abcdef", "approve 0123456789abcdef"),
        ("silence backup for 2h because moving", "silence backup for 2h because moving"),
        (
            "Silence NodeDiskFull critical for 90m because It is known",
            "silence NodeDiskFull critical for 90m because It is known",
        ),
        ("restore latest into inspection", "restore latest into inspection"),
        (
            "restore daily/20261123T010000Z until 2026-11-23T10:15:00Z into a",
            "restore daily/20261123T010000Z until 2026-11-23T10:15:00Z into a",
        ),
        ("unsilence NodeDiskFull", "unsilence NodeDiskFull"),
    ],
)
def test_every_spelling_means_one_line_which_means_itself(text: str, line: str) -> None:
    call = parse_command(text)
    assert call.line == line
    assert parse_command(call.line) == call


@pytest.mark.parametrize("end", ["tomorrow", "saturday 10-14", "until 22:00", "for 2h", "22-6"])
def test_a_machine_after_any_time_is_the_machine(end: str) -> None:
    assert parse_command(f"down {end} machine vm1").arguments == {"end": end, "machine": "vm1"}
    assert parse_command(f"down {end}").arguments == {"end": end}


def test_modifiers_are_no_part_of_the_line() -> None:
    assert parse_command("down until 22:00 dry run").dry_run
    assert parse_command("down until 22:00 dry-run").line == "down until 22:00"
    call = parse_command("down until 22:00 confirm 0a1b2c3D")
    assert (call.line, call.code, call.dry_run) == ("down until 22:00", "0a1b2c3d", False)


@pytest.mark.parametrize(
    ("typo", "meant"), [("statsu", "status"), ("rolback 3", "rollback"), ("aprove 1", "approve")]
)
def test_a_typo_is_answered_with_the_nearest_command(typo: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean {meant}"):
        parse_command(typo)


def test_what_resembles_nothing_is_answered_with_help() -> None:
    with pytest.raises(UsageError, match="Write: help"):
        parse_command("xyzzy")


@pytest.mark.parametrize(
    "text",
    ["backup", "deploy main", "deploy 0123", "deploy #", "deploy #0",
     "plan 1234567890", "rollback", "rollback -1", "cancel", "cancel all",
     "cancel 20260302T181500-0a1b2c3", "hold", "hold 2h", "approve", "approve x",
     "restore ../x", "status now", "who deleted x", "up soon", "rollback 3 restored ../x",
     "deploy " + SHA + "; rm"],
)  # fmt: skip
def test_what_does_not_fit_is_answered_with_how_it_is_written(text: str) -> None:
    with pytest.raises(UsageError, match="Write: "):
        parse_command(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("st\u0430tus", "CYRILLIC SMALL LETTER A"),
        ("\u202estatus", "RIGHT-TO-LEFT OVERRIDE"),
        ("sta\u200btus", "ZERO WIDTH SPACE"),
        ("sta\u00adtus", "SOFT HYPHEN"),
        ("status\ufe0f", "VARIATION SELECTOR-16"),
        ("\uff53tatus", "FULLWIDTH LATIN SMALL LETTER S"),
        ("rollback \u0663", "ARABIC-INDIC DIGIT THREE"),
        ("up until 22\uff1a00", "FULLWIDTH COLON"),
        ("deploy \U000e0061", "TAG LATIN SMALL LETTER A"),
        ("status\x00", "a control character"),
        ("status\nrollback 3", "a control character"),
        ("status\u2028rollback 3", "LINE SEPARATOR"),
        ("who did \u0441", "CYRILLIC SMALL LETTER ES"),
    ],
)
def test_a_sign_that_is_not_plain_is_refused_by_its_name(text: str, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        parse_command(text)


def test_a_command_is_short_and_not_empty() -> None:
    with pytest.raises(UsageError, match="at most 300"):
        parse_command("who did " + "x" * 300)
    with pytest.raises(UsageError, match="no command"):
        parse_command(" \t ")


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        call = parse_command(text)
    except UsageError:
        return
    assert call.name in COMMANDS
    assert text.isascii()


def test_policy_and_grammar_know_the_same_commands() -> None:
    from typing import get_args

    from shared.policy.chat import CommandName

    assert set(get_args(CommandName)) == set(COMMANDS)
