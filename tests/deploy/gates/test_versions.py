"""Do the versions fit, does the cluster have room, and whose turn is it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.deploy.gates.versions import (
    Headroom,
    app_version_gate,
    chart_notes,
    headroom_gate,
    is_minor_release,
    mongodb_gate,
    mongodb_upgrade_gate,
    newer_version,
    series_before,
    unknown_version_gate,
)
from shared.deploy.ordering import (
    QueuedDeploy,
    check_on_branch,
    compare_to_deployed,
    decide_delivery,
    deploy_key,
    select_next_deploy,
)
from shared.kernel.versions import Version
from shared.kubernetes.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("8.2.1", "8.2.1"),
        ("v8.2", "8.2.0"),
        ("8.2.1-debian-12-r0", "8.2.1"),
        ("8.2.1-rc.1", "8.2.1"),
        ("8.0.13+build", "8.0.13"),
        ("8", None),
        ("latest", None),
        ("8.2.1 ", None),
        ("8.2.1\n", None),
        ("８.2.1", None),
        ("", None),
    ],
)
def test_a_version_is_read_or_not_at_all(text, version):
    found = Version.parse(text)
    assert (str(found) if found else None) == version


@pytest.mark.parametrize(
    ("compatible", "server", "passed", "pending"),
    [
        pytest.param(["8.0"], "8.0.13", True, False, id="fits"),
        pytest.param(["8"], "8.2.0", True, False, id="a major is named"),
        pytest.param(["5.0", "6.0", "7.0"], "8.0.1", False, False, id="too new"),
        pytest.param(["8.0"], "7.0.5", False, False, id="too old"),
        pytest.param([], "7.0.5", False, False, id="none"),
        pytest.param(None, "8.0.1", False, True, id="could not be found out"),
        pytest.param(["8.0"], "percona", False, False, id="no version"),
    ],
)
def test_rocket_chat_must_work_with_the_mongodb_that_runs(compatible, server, passed, pending):
    gate = mongodb_gate("8.2.0", compatible, server)
    assert (gate.passed, gate.pending) == (passed, pending)


@pytest.mark.parametrize(
    ("current", "target", "skipped"),
    [
        ("7.0.5", "7.0.28", ""),
        ("7.0.28", "7.0.5", ""),  # patch releases share one format
        ("7.0.5", "8.0.1", ""),
        ("8.0.15", "8.2.4", ""),
        ("8.2.4", "8.3.0", ""),
        ("6.0.5", "8.0.1", "7.0"),
        ("7.0.14", "8.2.4", "8.0"),
        ("6.0.10", "8.2.4", "7.0, 8.0"),
        ("8.0.15", "8.3.0", "8.2"),
        ("7.0.5", "9.0.0", "8.0"),
        ("8.2.4", "9.0.0", "8.3"),
        ("4.0.1", "4.4.2", "4.2"),
    ],
)
def test_mongodb_goes_up_one_series_at_a_time(current, target, skipped):
    gate = mongodb_upgrade_gate(current, target)
    assert (gate.passed, gate.reason.partition(" skips ")[2]) == (not skipped, skipped)


@pytest.mark.parametrize(("current", "target"), [("8.0.1", "7.0.5"), ("8.2.1", "8.0.15"), ("x", "8.0.0")])
def test_mongodb_never_goes_down_nor_to_what_cannot_be_compared(current, target):
    assert not mongodb_upgrade_gate(current, target).passed


@pytest.mark.parametrize(("current", "target"), [("8.0.1", "9.0.0"), ("8.3.1", "9.0.0"), ("8.3.1", "8.4.0")])
def test_a_series_that_is_not_known_yet_passes_with_a_warning(current, target):
    gate = mongodb_upgrade_gate(current, target)
    assert (gate.passed, "known up to 8.3" in gate.warnings[0]) == (True, True)


@pytest.mark.parametrize(
    ("current", "target", "features", "passed"),
    [
        ("7.0.14", "8.0.1", "7.0", True),
        ("7.0.14", "8.0.1", "6.0", False),  # the step before was never finished
        ("8.0.15", "8.2.1", "8.0", True),
        ("8.2.4", "8.3.0", "8.0", False),
        ("8.2.4", "8.2.5", "8.0", True),  # a patch starts whatever it says
    ],
)
def test_mongodb_goes_up_only_with_the_features_of_the_series_that_runs(current, target, features, passed):
    gate = mongodb_upgrade_gate(current, target, features)
    assert (gate.passed, gate.warnings) == (passed, ())
    if not passed:
        assert f"feature compatibility version {features}" in gate.reason
        assert "groundcrew mongodb raise-features" in gate.hint


def test_features_that_cannot_be_read_are_warned_of_and_not_taken_for_good():
    (warning,) = mongodb_upgrade_gate("7.0.14", "8.0.1", "").warnings
    assert "could not be read" in warning


@pytest.mark.parametrize(
    ("compatible", "server", "passed"),
    [
        (("8.0",), "8.2.4", True),  # Rocket.Chat lists majors
        (("8.0",), "8.0.1", True),
        (("8.2",), "8.0.15", False),
        (("8.0",), "7.0.14", False),
        (("7.0", "8.0"), "9.0.1", False),
        (("4.2",), "4.4.1", False),  # before 5.0 each series was a major release
    ],
)
def test_a_listed_major_means_its_minor_releases_too(compatible, server, passed):
    assert mongodb_gate("8.2.1", compatible, server).passed is passed


def test_nobody_is_told_to_take_mongodb_back():
    assert "Deploy a Rocket.Chat that lists MongoDB 8.2" in mongodb_gate("7.13.0", ("7.0",), "8.2.4").hint
    assert "Upgrade MongoDB to 8.0" in mongodb_gate("9.0.0", ("8.0", "8.2"), "7.0.14").hint


def test_the_way_over_a_skipped_major_is_named():
    gate = mongodb_upgrade_gate("5.0.31", "8.0.1")
    assert gate.reason == "from 5.0 to 8.0 skips 6.0, 7.0"
    assert gate.hint.startswith("Deploy 6.0 first")


@pytest.mark.parametrize(
    ("compatible", "server", "hint"),
    [
        (("9.0", "8.2", "x"), "7.0.14", "Upgrade MongoDB to 8.2 first, one release series at a time"),
        (("6.0", "x"), "7.0.14", "Deploy a Rocket.Chat that lists MongoDB 7.0: 9.1.0 is too old for it"),
        (("x",), "7.0.14", ""),
        ((), "7.0.14", ""),
    ],
)
def test_which_way_mongodb_and_rocket_chat_come_together_is_told(compatible, server, hint):
    gate = mongodb_gate("9.1.0", compatible, server)
    assert gate.hint == hint
    assert (
        gate.reason == f"Rocket.Chat 9.1.0 works with MongoDB {', '.join(compatible) or 'none'}, not 7.0.14"
    )


@pytest.mark.parametrize(
    ("compatible", "server", "passed"),
    [
        (("8.2",), "8.3.0", True),  # a minor release of the major that is listed
        (("8.3",), "8.2.4", False),
        (("5.0",), "5.1.0", True),
        (("4.0",), "4.0.9", True),
        (("9.0",), "8.3.0", False),
        (("x",), "8.3.0", False),
    ],
)
def test_an_entry_covers_what_comes_after_it_within_its_major(compatible, server, passed):
    assert mongodb_gate("9.1.0", compatible, server).passed is passed


@pytest.mark.parametrize(
    ("series", "before"),
    [
        ("3.6", []),
        ("4.4", ["4.2"]),
        ("5.0", ["4.4"]),
        ("8.0", ["7.0"]),
        ("8.2", ["8.0"]),
        ("8.3", ["8.2"]),
        ("8.4", ["8.3"]),
        ("9.0", ["8.3", "8.0"]),
    ],
)
def test_a_series_follows_the_one_before_and_a_major_the_major_before_too(series, before):
    assert series_before(series) == before


@pytest.mark.parametrize(
    ("series", "minor"),
    [("4.4", False), ("5.0", False), ("5.1", True), ("8.0", False), ("8.2", True), ("6.3", True)],
)
def test_from_5_on_what_is_not_x_0_is_a_minor_release(series, minor):
    assert is_minor_release(series) is minor


def test_the_next_series_is_called_so_only_where_both_are_known():
    known = mongodb_upgrade_gate("8.0.15", "8.2.4", "8.0")
    assert known.reason == "MongoDB goes from 8.0 to 8.2, the next release series"
    unknown = mongodb_upgrade_gate("8.3.1", "8.4.0", "8.3")
    assert unknown.reason == "MongoDB goes from 8.3 to 8.4"
    assert unknown.warnings == ("8.4 is not a known series (known up to 8.3): see its release notes",)
    both = mongodb_upgrade_gate("9.0.1", "9.2.0", "9.0")
    assert both.warnings[0].startswith("9.0, 9.2 is not a known series")
    assert mongodb_upgrade_gate("8.2.1", "8.2.4").reason == "MongoDB stays in 8.2"
    down = mongodb_upgrade_gate("8.2.4", "8.0.15").reason
    assert down == "MongoDB would be downgraded from 8.2.4 to 8.0.15"
    for current, target in (("x", "8.0.0"), ("8.0.0", "x")):
        assert "cannot be compared" in mongodb_upgrade_gate(current, target).reason


@pytest.mark.parametrize(
    ("one", "other", "newer"),
    [
        ("8.2.0", "8.1.0", "8.2.0"),
        ("8.1.0", "8.2.0", "8.2.0"),
        ("v8.2.0", "8.2.0", "v8.2.0"),  # of equals the first
        ("8.2.0", "", "8.2.0"),
        ("", "8.2.0", "8.2.0"),
        ("x", "8.2.0", "8.2.0"),
        ("8.2.0", "x", "8.2.0"),
        ("", "", ""),
    ],
)
def test_of_two_versions_the_newer_is_found_even_if_one_is_none(one, other, newer):
    assert newer_version(one, other) == newer


def test_why_a_version_is_not_known_is_told_with_what_to_do():
    nothing = unknown_version_gate("x:1", "", target_known=False)
    assert (nothing.passed, nothing.reason) == (False, "nothing that starts Rocket.Chat was found")
    assert nothing.hint == "Call the container rocketchat, or the image rocket.chat"
    target = unknown_version_gate("x:1", "y@sha256:1", target_known=False)
    assert target.reason == "which version y@sha256:1 is cannot be told"
    before = unknown_version_gate("x@sha256:1", "y:2", target_known=True)
    assert (before.passed, before.reason) == (
        False, "which version x@sha256:1 is, which runs now, cannot be told",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("current", "target", "reason"),
    [
        ("", "8.2.0", "first install of 8.2.0"),
        ("8.2.0", "8.2.0", "stays at 8.2.0"),
        ("7.13.0", "8.0.0", "goes from 7.13.0 to 8.0.0"),
        ("6.13.0", "8.0.0", "from 6.13.0 to 8.0.0 skips major 7"),
        ("8.2.0", "8.1.9", "goes back from 8.2.0 to 8.1.9: migrations are one-way"),
        ("develop", "8.2.0", "what runs calls itself 'develop'"),
        ("8.2.0", "latest", "'latest' is not a version"),
    ],
)
def test_which_way_rocket_chat_goes_is_told(current, target, reason):
    gate = app_version_gate(current, target)
    assert gate.reason == reason
    assert ("7.x" in gate.hint) is ("skips" in reason)


@pytest.mark.parametrize(
    ("current", "target", "notes"),
    [
        ("6.9.9", "7.0.0", ["chart 7.0 runs", "the chart goes from 6.9.9 to 7.0.0"]),
        ("6.9.9", "7.2.1", ["chart 7.0 runs", "the chart goes from 6.9.9 to 7.2.1"]),
        ("7.0.0", "8.0.0", ["the chart goes from 7.0.0 to 8.0.0"]),
        ("5.0.0", "6.9.9", ["the chart goes from 5.0.0 to 6.9.9"]),
        ("7.0.0", "6.9.9", []),
        ("7.0.0", "x", []),
    ],
)
def test_each_note_of_a_chart_is_told_where_it_applies(current, target, notes):
    found = chart_notes(current, target)
    assert len(found) == len(notes)
    assert all(one.startswith(begin) for one, begin in zip(found, notes, strict=True))


@pytest.mark.parametrize(
    ("current", "target", "passed"),
    [
        ("", "8.2.0", True),
        ("8.2.0", "8.2.0", True),
        ("8.1.0", "8.2.0", True),
        ("7.13.0", "8.2.0", True),
        ("6.13.0", "8.2.0", False),
        ("8.2.0", "8.1.9", False),
        ("8.2.0", "latest", False),
        ("develop", "8.2.0", False),
    ],
)
def test_rocket_chat_skips_no_major_and_does_not_go_back(current, target, passed):
    assert app_version_gate(current, target).passed is passed


@pytest.mark.parametrize(
    ("current", "target", "notes"),
    [("6.27.0", "7.0.0", 2), ("6.1.0", "6.27.0", 0), ("7.0.0", "7.1.0", 0), ("x", "7.0.0", 0)],
)
def test_what_changes_hands_between_charts_is_told(current, target, notes):
    assert len(chart_notes(current, target)) == notes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512Mi", 512 << 20),
        ("1.5Gi", 1.5 * (1 << 30)),
        ("300m", 0.3),
        ("1e3", 1000),
        (2, 2),
        ("1k", 1000),
        (".5", 0.5),
    ],
)
def test_quantities_of_kubernetes(text, size):
    assert parse_quantity(text) == pytest.approx(size)


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "1KiB", "nan", "1e999", True, None, "0x10"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


GIB = float(1 << 30)


@pytest.mark.parametrize(
    ("have", "need", "passed", "pending"),
    [
        pytest.param(Headroom(4 * GIB, 20 * GIB), Headroom(2 * GIB, 5 * GIB), True, False, id="enough"),
        pytest.param(
            Headroom(2 * GIB, 20 * GIB),
            Headroom(1.9 * GIB, 5 * GIB),
            False,
            False,
            id="the reserve is touched",
        ),
        pytest.param(
            Headroom(4 * GIB, 4 * GIB), Headroom(2 * GIB, 5 * GIB), False, False, id="disk is short"
        ),
        pytest.param(
            Headroom(None, 20 * GIB), Headroom(2 * GIB, 5 * GIB), False, True, id="memory is unknown"
        ),
        pytest.param(
            Headroom(None, 1 * GIB), Headroom(2 * GIB, 5 * GIB), False, False, id="short wins over unknown"
        ),
        pytest.param(Headroom(0.0, 0.0), Headroom(0.0, 0.0), True, False, id="nothing is needed"),
        pytest.param(Headroom(4 * GIB, 4 * GIB), Headroom(None, GIB), False, True, id="need is unknown"),
        pytest.param(Headroom(4 * GIB, None), Headroom(GIB, GIB), False, True, id="disk is unknown"),
        pytest.param(Headroom(10 * GIB, 10 * GIB), Headroom(9 * GIB, 9 * GIB), True, False, id="to the byte"),
        pytest.param(
            Headroom(10 * GIB, 10 * GIB), Headroom(9 * GIB + 1, 9 * GIB), False, False, id="a byte too many"
        ),
    ],
)
def test_there_must_be_room_for_the_new_pods(have, need, passed, pending):
    gate = headroom_gate(have, need)
    assert (gate.passed, gate.pending) == (passed, pending)


def test_what_is_short_is_told_in_mebibytes():
    gate = headroom_gate(Headroom(GIB, 50 * GIB), Headroom(2 * GIB, GIB))
    assert gate.reason == "memory: needs 2,048 MiB, 1,024 MiB are free"


def test_room_that_suffices_is_told_with_its_numbers():
    gate = headroom_gate(Headroom(8.9 * GIB, 40 * GIB), Headroom(2 * GIB, GIB))
    assert gate.reason == "memory 9,114 MiB and disk 40,960 MiB free suffice"


@pytest.mark.parametrize(
    ("have", "reason"),
    [
        pytest.param(
            Headroom(4 * GIB, 4 * GIB), "memory 4,096 MiB and disk 4,096 MiB free suffice (a; b)", id="enough"
        ),
        pytest.param(
            Headroom(4 * GIB, GIB), "disk: needs 2,048 MiB, 1,024 MiB are free (a; b)", id="too little"
        ),
        pytest.param(Headroom(None, GIB * 4), "memory could not be measured", id="not measured"),
        pytest.param(Headroom(None, None), "memory and disk could not be measured", id="neither measured"),
    ],
)
def test_how_the_room_was_found_out_stands_behind_what_was_found(have, reason):
    assert headroom_gate(have, Headroom(GIB, 2 * GIB), notes=("a", "b")).reason == reason


# Order


def test_a_deploy_has_one_name_whatever_announced_it():
    key = deploy_key("Acme/Chat", "a" * 40, "production")
    assert key == deploy_key("acme/chat", "a" * 40, "production")
    assert key != deploy_key("acme/chat", "a" * 40, "Production")
    assert key != deploy_key("acme/chat", "b" * 40, "production")
    assert "/" not in key


@pytest.mark.parametrize(
    ("state", "action"), [(None, "process"), ("done", "drop"), ("failed", "resume"), ("running", "resume")]
)
def test_a_redelivery_resumes_what_was_not_completed(state, action):
    assert decide_delivery(state).action == action


def test_of_two_merges_the_later_goes_and_brings_the_earlier_along():
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    first, second = QueuedDeploy("a" * 40, 7, noon), QueuedDeploy("b" * 40, 6, noon + timedelta(seconds=1))
    for waiting in ([first, second], [second, first], [second, first, second]):
        turn = select_next_deploy(waiting)
        assert (turn.now, turn.superseded) == (second, (first,))
    assert select_next_deploy([]).now is None


OLD_COMMIT, NEW_COMMIT = "0123456" + "a" * 33, "789abcd" + "e" * 33


@pytest.mark.parametrize(
    ("relation", "action", "reason"),
    [
        ("ahead", "go", "789abcd builds on 0123456"),
        ("identical", "done", "789abcd is what is deployed"),
        ("behind", "superseded", "0123456, which is deployed, has 789abcd in it already"),
        (
            "diverged",
            "refused",
            "789abcd does not build on 0123456: the branch was forced to another history",
        ),
    ],
)  # fmt: skip
def test_where_a_commit_stands_to_what_is_deployed(relation, action, reason):
    ancestry = compare_to_deployed(relation, deployed=OLD_COMMIT, target=NEW_COMMIT)
    assert (ancestry.action, ancestry.reason) == (action, reason)


@pytest.mark.parametrize(
    ("relation", "action", "reason"),
    [
        ("ahead", "go", "789abcd is on main"),
        ("identical", "go", "789abcd is on main"),
        ("behind", "refused", "789abcd is not on main any more"),
        ("diverged", "refused", "789abcd is not on main any more"),
    ],
)
def test_a_commit_must_still_be_on_its_branch(relation, action, reason):
    ancestry = check_on_branch(relation, branch="main", target=NEW_COMMIT)
    assert (ancestry.action, ancestry.reason) == (action, reason)


def test_an_unknown_relation_is_no_answer():
    with pytest.raises(ValueError, match="sideways"):
        compare_to_deployed("sideways", deployed="a", target="b")
    with pytest.raises(ValueError, match="sideways"):
        check_on_branch("sideways", branch="main", target="b")
