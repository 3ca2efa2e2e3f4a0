"""What Helm prints, in our words; and its record of a release, rewritten."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from shared.adapters.helm.parsing import (
    classify_failure,
    failure_reason,
    format_progress,
    is_release_missing,
    is_template_error,
    is_timeout,
    newest_revision,
    parse_dry_run,
    parse_history,
    parse_lint,
    revision_not_found,
    stored_bytes,
)
from shared.adapters.helm.storage import rewrite_release
from shared.kernel.errors import Conflict, Corrupt, Refused, Unavailable

UNSEEN = "resource Secret/chat/web not ready. status: Unknown, message:"
LINT = """\
==> Linting /chart
[INFO] Chart.yaml: icon is recommended
[WARNING] templates/x.yaml: object name does not conform
[ERROR] templates/: chat/templates/a.yaml:1:16
  executing "chat/templates/a.yaml" at <.Values.x.y>:
    nil pointer evaluating interface {}.y

Error: 1 chart(s) linted, 1 chart(s) failed
"""


def test_errors_and_warnings_of_lint_are_found_with_what_belongs_to_them():
    warning, error = parse_lint(LINT)
    assert (warning.severity, warning.where, warning.message) == (
        "warning",
        "templates/x.yaml",
        "object name does not conform",
    )
    assert (error.severity, error.where) == ("error", "templates/")
    assert error.message.endswith("nil pointer evaluating interface {}.y")
    assert error.message.startswith("chat/templates/a.yaml:1:16 executing")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('kubernetes cluster unreachable: Get "https://10.0.0.4:16443/version"', Unavailable),
        ("Get https://x: dial tcp 10.0.0.4:16443: connect: connection refused", Unavailable),
        ("net/http: TLS handshake timeout", Unavailable),
        ("the server is currently unable to handle the request", Unavailable),
        ('secrets is forbidden: User "x" cannot list resource "secrets"', Refused),
        ("the server has asked for the client to provide credentials", Refused),
        ("UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress", Conflict),
        (
            'UPGRADE FAILED: failed to create patch: Patch "https://10.0.0.4:16443/apis/apps/v1": EOF',
            Unavailable,
        ),
        ('failed calling webhook "x": no endpoints available for service "x"', Unavailable),
        (f"UPGRADE FAILED: {UNSEEN}", Unavailable),
        (f"pre-upgrade hooks failed: {UNSEEN}", Unavailable),
        (f"UPGRADE FAILED: {UNSEEN} context deadline exceeded", None),
        (
            f"UPGRADE FAILED: {UNSEEN} resource Deployment/chat/web not ready. status: Failed, message: x",
            None,
        ),
        (f"has been rolled back due to rollback-on-failure being set: {UNSEEN}", None),
        ("UPGRADE FAILED: context deadline exceeded", None),
        ("UPGRADE FAILED: pre-upgrade hooks failed: job failed", None),
    ],
)
def test_a_cluster_that_could_not_be_asked_is_told_from_a_release_that_failed(text, kind):
    made = classify_failure(f'level=WARN msg="upgrade failed"\nError: {text}\n')
    assert made is None if kind is None else type(made) is kind


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            'level=DEBUG msg="Patched resource" namespace=n name=web gvk="apps/v1, Kind=Deployment"',
            "Deployment web applied",
        ),
        (
            'level=DEBUG msg="waiting for resource" name=web kind=Deployment actualStatus=InProgress',
            "Deployment web: InProgress",
        ),
        ('level=DEBUG msg="rolling back" name=chat currentVersion=2 targetVersion=1', "rolling back"),
        ('level=WARN msg="upgrade failed" error="password hunter22"', ""),
        ("hunter22 without a form", ""),
        ("", ""),
    ],
)
def test_of_helms_log_only_known_lines_are_told(line, text):
    assert format_progress(line) == text


def test_the_last_error_is_the_reason_and_the_log_is_not():
    text = "level=DEBUG msg=x\nError: first\nlevel=WARN msg=y\nError: second\n  goes on\n"
    assert failure_reason(text) == "second goes on"
    assert failure_reason("") == "Helm failed without a message"
    assert len(failure_reason("Error: " + "x" * 9000)) == 2000


def test_what_is_missing_and_what_was_too_slow_are_recognized():
    assert is_release_missing("Error: release: not found")
    assert is_release_missing("Error: release has no 77 version")
    assert not is_release_missing("Error: chart not found")
    assert is_timeout("Error: UPGRADE FAILED: context deadline exceeded")
    assert not is_timeout("Error: UPGRADE FAILED: invalid")


def test_a_history_is_sorted_by_revision_and_tells_the_time():
    entries = [
        {"revision": 2, "status": "deployed", "updated": "2026-03-02T08:00:00.123456789Z", "chart": "c-1"},
        {"revision": 1, "status": "superseded", "updated": "", "chart": "c-1", "app_version": "8"},
    ]
    first, second = parse_history(json.dumps(entries))
    assert (first.number, first.at, first.app_version) == (1, None, "8")
    assert second.at is not None
    assert second.at.utcoffset() is not None


@pytest.mark.parametrize("text", ["{", "[1]", '[{"revision": "x"}]', "{}x"])
def test_a_history_that_cannot_be_read_is_corrupt(text):
    with pytest.raises(Corrupt):
        parse_history(text)


def manifest(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n"


def names(manifests) -> list[str]:
    return [one["metadata"]["name"] for one in manifests]


def test_a_dry_run_gives_manifests_and_hooks_but_tests_of_the_chart():
    hooks = [
        {"events": ["pre-upgrade"], "manifest": manifest("before")},
        {"events": ["test"], "manifest": manifest("test")},
        {"events": ["test", "post-install"], "manifest": manifest("both")},
        {"events": None, "manifest": manifest("never")},
        {"manifest": manifest("never-either")},
    ]
    text = json.dumps({"manifest": f"{manifest('a')}---\n{manifest('b')}", "hooks": hooks})
    rendering = parse_dry_run(text)
    assert (names(rendering.manifests), names(rendering.hooks)) == (["a", "b"], ["before", "both"])
    assert rendering.stored_bytes == stored_bytes(text)
    assert parse_dry_run(json.dumps({"manifest": "", "hooks": None})).hooks == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"manifest": "", "hooks": [{"events": ["x"]}]}', "5"])
def test_a_dry_run_that_cannot_be_read_is_corrupt(text):
    with pytest.raises(Corrupt, match="Helm's dry run is not readable"):
        parse_dry_run(text)


@pytest.mark.parametrize("size", range(7))
def test_a_release_is_stored_as_gzip_in_base64(size):
    release = "x" * size + json.dumps({"manifest": "猫" * size})
    stored = base64.b64encode(gzip.compress(release.encode(), 9))
    assert stored_bytes(release) == len(stored)


@pytest.mark.parametrize(
    ("reason", "is_one"),
    [
        ("execution error at (chat/templates/a.yaml:1:2): a password is needed", True),
        ("parse error at (chat/templates/a.yaml:1): unexpected", True),
        ("error calling include: timed out waiting", True),
        ("timed out waiting for the condition", False),
        ("", False),
    ],
)
def test_a_failure_of_the_charts_templates_is_told_from_others(reason, is_one):
    assert is_template_error(reason) is is_one


@pytest.mark.parametrize("text", ["TIMED OUT waiting for x", "context Deadline Exceeded"])
def test_helm_gave_up_however_it_spells_that(text):
    assert is_timeout(text)


def test_what_explains_a_failure_is_cut_and_says_what_to_do():
    away = classify_failure("Error: connection refused " + "x" * 900)
    assert away is not None
    assert (len(away.value), away.hint) == (500, "Is the VM up?")
    denied = classify_failure("Error: x is forbidden: y " + "x" * 900)
    assert denied is not None
    assert len(denied.value) == 500
    assert "infra/chart/rbac.yaml" in denied.hint
    # An outage explains the others.
    assert type(classify_failure("Error: connection refused; x is forbidden: y")) is Unavailable
    for half in ("another operation was here", "in progress"):
        assert classify_failure(f"Error: {half}") is None


def test_without_an_error_of_helms_its_last_lines_are_the_reason():
    lines = "\n".join(f"line {number}" for number in range(9))
    assert failure_reason(lines) == "line 4 line 5 line 6 line 7 line 8"
    assert failure_reason("\n \nlevel=ERROR msg=x\n") == "Helm failed without a message"


def test_lint_without_a_place_or_with_nothing_behind_it_is_told_as_it_is():
    (finding,) = parse_lint("[ERROR] no chart here\n\n  not of it\n")
    assert (finding.where, finding.message, finding.severity) == ("no chart here", "no chart here", "error")
    assert parse_lint("  alone\n[INFO] x: y\n  of the note\n") == []


def test_a_revision_that_is_not_there_is_named_and_the_newest_is_the_last():
    assert revision_not_found("chat", 7).value == "chat revision 7"
    assert revision_not_found("chat", 0).value == "chat"
    assert newest_revision([]) is None
    history = parse_history('[{"revision": 2, "status": "a"}, {"revision": 10, "status": "b"}]')
    newest = newest_revision(history)
    assert newest is not None
    assert (newest.number, newest.chart, newest.app_version, newest.at) == (10, "", "", None)
    assert parse_history("") == []


def kept(content: object) -> str:
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(content).encode()))).decode()


def test_a_release_is_rewritten_in_its_status_and_nothing_else():
    release = {"name": "chat", "info": {"status": "pending-upgrade", "notes": "n"}, "config": {"ü": 1}}
    data = rewrite_release(kept(release), "failed", "Interrupted")
    content = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(data))))
    assert content == {**release, "info": {"status": "failed", "description": "Interrupted", "notes": "n"}}


@pytest.mark.parametrize(
    "data",
    [
        "",
        "x",
        base64.b64encode(b"plain").decode(),
        base64.b64encode(base64.b64encode(gzip.compress(b"{}")[:-4])).decode(),
        kept([]),
        kept({}),
        kept({"info": 1}),
    ],
    ids=["empty", "no base64", "no gzip", "cut off", "a list", "no info", "info is a number"],
)
def test_a_record_that_is_no_release_is_corrupt(data):
    with pytest.raises(Corrupt):
        rewrite_release(data, "failed", "")
