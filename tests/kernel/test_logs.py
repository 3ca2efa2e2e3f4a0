"""Log lines reach Azure with their facts: what the worker hands to its host is one string per record."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from local.worker_calls import ROOT, FunctionCall, Invocation, run_worker
from shared.kernel.logs import FactFormatter, configure_logging
from shared.kernel.secret import Secret


@pytest.fixture(scope="module")
def invocation() -> Invocation:
    """An unsigned webhook."""
    headers = {"X-GitHub-Delivery": "d-1", "X-Hub-Signature-256": f"sha256={'0' * 64}"}
    call = FunctionCall("github_webhook", "http", "POST", "/api/github/webhook", "{}", headers)
    return run_worker({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, [call])[0]


def test_what_the_worker_hands_to_the_host_carries_the_facts(invocation) -> None:
    (line,) = invocation.logged("functions.deploy")
    event, _, facts = line.partition(" ")
    assert event == "github_webhook.refused"
    assert json.loads(facts)["delivery"] == "d-1"
    assert json.loads(facts)["status"] == 503


def test_the_host_collects_the_logs_of_the_worker() -> None:
    # With OpenTelemetry, the host expects the worker to export logs itself, with packages that the app lacks.
    assert "telemetryMode" not in json.loads((ROOT / "host.json").read_text())
    assert "opentelemetry" not in (ROOT / "requirements.txt").read_text()


def _line(message: str, *arguments: object, exc_info: object = None, **extra: object) -> str:
    record = logging.getLogger("x").makeRecord(
        "x", logging.INFO, "x.py", 1, message, arguments, exc_info, extra=extra  # type: ignore[arg-type]
    )  # fmt: skip
    return FactFormatter().format(record)


def test_a_line_without_facts_is_the_event_alone() -> None:
    assert _line("catch_up.done") == "catch_up.done"


def test_facts_are_json_whatever_their_type_and_break_no_line() -> None:
    line = _line("x", path=Path("/a"), text="two\r\nlines", count=2, key=Secret("hunter2"))
    assert line == 'x {"path": "/a", "text": "two\\r\\nlines", "count": 2, "key": "**redacted**"}'


def test_a_secret_that_is_known_by_its_form_is_masked() -> None:
    assert "hunter2" not in _line("x", error="cannot reach mongodb://ana:hunter2@10.0.0.4/")


def test_a_traceback_follows_the_facts() -> None:
    try:
        raise ValueError("of AKIAIOSFODNN7EXAMPLE")
    except ValueError:
        lines = _line("x", exc_info=sys.exc_info(), job="backup").splitlines()
    assert lines[0] == 'x {"job": "backup"}'
    assert lines[-1] == "ValueError: of **redacted**"


def test_the_requests_of_azures_sdk_are_not_logged() -> None:
    configure_logging()
    assert not logging.getLogger("azure.core.pipeline.policies.http_logging_policy").isEnabledFor(
        logging.INFO
    )


def test_a_handler_with_a_formatter_of_its_own_keeps_it() -> None:
    root, bare, own = logging.getLogger(), logging.Handler(), logging.Handler()
    own.setFormatter(logging.Formatter("%(message)s"))
    root.handlers += [bare, own]
    try:
        configure_logging()
        assert isinstance(bare.formatter, FactFormatter)
        assert not isinstance(own.formatter, FactFormatter)
    finally:
        root.handlers = [handler for handler in root.handlers if handler not in (bare, own)]
