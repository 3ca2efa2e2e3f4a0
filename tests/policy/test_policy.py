"""policy.yaml: what is read, and that every mistake is found at its line with a cure."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kernel.errors import UsageError
from shared.policy import Policy, Retention, days_off, find_mistakes, json_schema, parse_policy, reference
from shared.policy.starter import switch_all_on
from shared.policy.values import (
    Window,
    find_overlaps,
    format_policy_duration,
    parse_duration,
    parse_size,
    parse_window,
)

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "policy.yaml").read_text(encoding="utf-8")
EXAMPLE = switch_all_on(SHIPPED)


def test_the_shipped_policy_stops_starts_removes_and_deploys_nothing() -> None:
    policy = parse_policy(SHIPPED)
    assert policy.power.machines == ()
    assert policy.snapshots.disks is None
    assert policy.snapshots.check == "never"
    assert policy.deploy.repository is None
    assert policy.deploy.correct_drift is False
    assert policy.backup.retention == "lifecycle"


def test_the_shipped_policy_with_all_switched_on_has_no_mistakes_and_means_what_it_says() -> None:
    policy = parse_policy(EXAMPLE)
    assert find_mistakes(EXAMPLE) == []
    assert policy.snapshots.disks == "groundcrew=snapshot"
    assert policy.deploy.repository == "example/rocketchat"
    assert policy.backup.part_target == 512 * 1024 * 1024
    assert policy.backup.alarm_after == timedelta(hours=36)
    assert policy.backup.includes("rocketchat")
    assert policy.backup.zstd_level == 3
    assert policy.power.machines[0].windows == (Window(frozenset(range(5)), 7 * 60, 19 * 60),)
    assert policy.power.vacations[0].first == date(2026, 12, 24)
    assert policy.notify.routes.critical == ("oncall", "chat")


def test_the_shipped_policy_satisfies_the_schema_as_an_editor_would_check_it() -> None:
    data = yaml.load(EXAMPLE, Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    as_yaml_1_2 = json.loads(json.dumps(yaml.safe_load(EXAMPLE), default=str))
    assert data["timezone"] == "Europe/Berlin"
    jsonschema.validate(as_yaml_1_2, json_schema(), cls=jsonschema.Draft202012Validator)
    assert SHIPPED.startswith("# yaml-language-server: $schema=docs/policy.schema.json\n")


def test_the_schema_rejects_what_the_types_reject() -> None:
    for wrong in (
        {"backup": {"leve": 3}},
        {"backup": {"level": 20}},
        {"power": {"warning": "soon"}},
        {"deploy": 5},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, json_schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("name", "made"), [("policy.schema.json", reference.schema_text), ("policy.md", reference.reference_text)]
)
def test_the_generated_pages_are_current(name: str, made: object) -> None:
    assert callable(made)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made(), (
        "run: python -m shared.policy.reference docs"
    )


def test_importing_the_policy_package_imports_no_library() -> None:
    code = (
        "import sys, shared.policy; print([m for m in ('pydantic', 'yaml', 'holidays') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="polcy"):
        _ = __import__("shared.policy").policy.polcy


GOLDEN = (ROOT / "tests" / "golden" / "policy" / "mistakes.txt").read_text(encoding="utf-8")
CASES = [part.split("\n", 1) for part in GOLDEN.removeprefix("=== ").split("\n=== ")]


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_a_mistake_is_told_with_its_place_and_a_cure(case: str) -> None:
    text, expected = case.split("\n===>\n")
    assert "\n".join(map(str, find_mistakes(text))) == expected.strip()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (" \n", 1, "empty"),
        ("timezone: UTC\ncost: \x07", 2, "character"),
        ('cost: {currency: "\\ud800"}', 1, "kind str"),
        ("x: " + "y" * 300_000, 1, "256 KiB"),
    ],
    ids=["empty", "control character", "lone surrogate", "endless"],
)
def test_a_text_that_no_editor_would_write_is_a_mistake(text: str, line: int, problem: str) -> None:
    (mistake,) = find_mistakes(text)
    assert mistake.line == line
    assert problem in mistake.problem


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = (
        "timezone: X\ntimezone: UTC\nbackup:\n  level: 99\n  exclude: [users]\ncosts: {}\ncost: {budget: 0}"
    )
    mistakes = find_mistakes(text)
    assert [mistake.line for mistake in mistakes] == [1, 2, 4, 5, 6, 7]
    with pytest.raises(UsageError) as caught:
        parse_policy(text)
    assert all(str(mistake) in str(caught.value) for mistake in mistakes)
    assert caught.value.permanent


def test_every_line_that_a_tab_indents_is_told() -> None:
    assert [mistake.line for mistake in find_mistakes("backup:\n\tlevel: 3\ncost:\n\tbudget: 5\n")] == [2, 4]


def test_an_address_among_the_routes_is_a_mistake_that_does_not_repeat_it() -> None:
    (mistake,) = find_mistakes("notify: {routes: {critical: ['https://hooks.example/secret-token']}}")
    assert "secret-token" not in str(mistake)
    assert "app settings" in mistake.hint


def test_aliases_cannot_unfold_into_a_bomb() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (mistake,) = find_mistakes("\n".join(lines))
    assert "values, aliases unfolded" in mistake.problem


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: " + "[" * 5000, "a: " + "{a: " * 5000], ids=["loop", "lists", "maps"]
)
def test_endless_nesting_is_a_mistake_and_no_crash(text: str) -> None:
    (mistake,) = find_mistakes(text)
    assert "levels" in mistake.problem


def test_an_alias_may_repeat_a_list() -> None:
    policy = parse_policy(
        "power:\n  machines:\n  - {name: a, windows: &w [Mon-Fri 07:00-19:00]}\n  - {name: b, windows: *w}"
    )
    assert policy.power.machines[0].windows == policy.power.machines[1].windows


def test_norway_and_clock_times_are_texts_as_in_yaml_1_2() -> None:
    policy = parse_policy("power: {holidays: {country: NO}, warning: 10m}\nnotify: {fallback: on}")
    assert policy.power.holidays is not None
    assert policy.power.holidays.country == "NO"
    assert policy.notify.fallback == "on"


def test_the_policy_cannot_be_changed() -> None:
    policy = parse_policy("timezone: UTC")
    with pytest.raises(ValueError, match="frozen"):
        policy.timezone = "Europe/Berlin"  # type: ignore[misc]
    assert hash(policy) == hash(parse_policy("timezone: UTC"))


def test_counts_are_periods_of_their_class_and_null_leaves_a_class_out() -> None:
    keep = parse_policy("backup: {keep: {daily: 7, weekly: 5, monthly: null}}").backup.keep
    assert keep.ages == {"daily": timedelta(days=7), "weekly": timedelta(days=35)}
    assert Retention().ages == {"daily": timedelta(days=14)}


def test_compression_gives_a_level_unless_one_is_written() -> None:
    assert parse_policy("backup: {compression: small}").backup.zstd_level == 5
    assert parse_policy("backup: {compression: small, level: 15}").backup.zstd_level == 15


def test_excluded_collections_match_their_patterns_only() -> None:
    backup = parse_policy("backup: {exclude: [rocketchat_sessions, 'rocketchat_avatars.*']}").backup
    assert backup.excludes("rocketchat_sessions")
    assert backup.excludes("rocketchat_avatars.chunks")
    assert not backup.excludes("rocketchat_session")
    assert not backup.excludes("rocketchat_avatars")


def test_days_off_are_public_holidays_and_vacations_by_name() -> None:
    holidays = "holidays: {country: DE, subdivision: BY}"
    vacations = "vacations: [{first: 2026-08-03, last: 2026-08-07, name: trip}]"
    name = days_off(parse_policy(f"power: {{{holidays}, {vacations}}}").power)
    assert name(date(2026, 1, 6))  # Epiphany, in whatever language the machine speaks
    assert [name(date(2026, 8, day)) for day in (2, 3, 7, 8)] == ["", "trip", "trip", ""]
    assert days_off(Policy().power)(date(2026, 12, 25)) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("2w", timedelta(days=14)),
        ("36h", timedelta(hours=36)),
    ],
)
def test_durations_are_read(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "0m", "h", "1", "1 h", "-1h", "1.5h", "99999999d", "101w1y", "１h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(1, 36525 * 86400))
@settings(max_examples=100, deadline=None)
def test_a_duration_survives_being_written(seconds: int) -> None:
    assert parse_duration(format_policy_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("text", "expected"), [("1 KiB", 1024), ("2GB", 2_000_000_000), ("64 MiB", 1 << 26)])
def test_sizes_are_read(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("Mon-Fri 07:00-19:00", {0, 1, 2, 3, 4}, 420, 1140),
        ("Sat,Sun 22:00-02:00", {5, 6}, 1320, 1560),
        ("Fri-Mon 0:00-24:00", {4, 5, 6, 0}, 0, 1440),
        ("daily 23:00-00:00", set(range(7)), 1380, 1440),
        ("mon,WED-thu 8:30-9:00", {0, 2, 3}, 510, 540),
    ],
)
def test_windows_are_read(text: str, days: set[int], start: int, end: int) -> None:
    assert parse_window(text) == Window(frozenset(days), start, end)


windows = st.builds(
    lambda days, start, length: Window(frozenset(days), start, start + length),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1439),
)


@given(windows)
@settings(max_examples=100, deadline=None)
def test_a_window_survives_being_written(window: Window) -> None:
    assert parse_window(str(window)) == window


@given(st.lists(windows, max_size=4))
@settings(max_examples=100, deadline=None)
def test_overlaps_are_found_as_if_every_minute_of_the_week_were_looked_at(
    given_windows: list[Window],
) -> None:
    seen: dict[int, int] = {}
    clash = False
    for index, window in enumerate(given_windows):
        minutes = {(day * 1440 + m) % 10080 for day in window.days for m in range(window.start, window.end)}
        clash = clash or any(minute in seen for minute in minutes)
        seen.update(dict.fromkeys(minutes, index))
    assert bool(find_overlaps(tuple(given_windows))) == clash


@given(st.text(max_size=200) | st.text(alphabet="timezonebackup: -[]{}&*!'\"\n\t#|>?0", max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_text_makes_the_check_fail_otherwise_than_by_mistakes(text: str) -> None:
    mistakes = find_mistakes(text)
    assert all(mistake.line >= 1 and mistake.problem and mistake.hint for mistake in mistakes)
    if not mistakes:
        assert isinstance(parse_policy(text), Policy)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_shipped_policy_with_a_line_lost_or_moved_is_read_or_told(data: st.DataObject) -> None:
    lines = EXAMPLE.splitlines()
    line = lines.pop(data.draw(st.integers(0, len(lines) - 1)))
    if data.draw(st.booleans()):
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    text = "\n".join(lines)
    mistakes = find_mistakes(text)
    assert mistakes == sorted(mistakes)
    assert all(1 <= mistake.line <= len(lines) + 1 for mistake in mistakes)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("monitoring/prometheus:9090", True),
        ("monitoring/prometheus:http-web", True),
        ("", True),
        ("prometheus:9090", False),
        ("monitoring/prometheus", False),
        ("http://prometheus.monitoring:9090", False),
        ("monitoring/http:prometheus:9090", False),
        ("monitoring/../kube-system:443", False),
        ("monitoring/prometheus:9090/", False),
        ("monitoring/prometheus:9090\\n", False),
    ],
)
def test_prometheus_is_named_by_namespace_service_and_port_or_not_at_all(text: str, right: bool) -> None:
    assert (find_mistakes(f'deploy: {{prometheus: "{text}"}}') == []) is right
