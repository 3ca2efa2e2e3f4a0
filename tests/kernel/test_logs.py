"""Log lines reach Azure with their facts: what the worker hands to its host is one string per record."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from shared.kernel.logs import FactFormatter
from shared.kernel.secret import Secret

ROOT = Path(__file__).resolve().parents[2]

# As the worker does it: a handler without a formatter on the root logger before the app is imported. What its
# `format` returns goes over gRPC.
WORKER = """
import asyncio, json, logging, sys
from pathlib import Path

lines = []
class GrpcHandler(logging.Handler):
    def emit(self, record):
        lines.append([record.name, self.format(record)])

logging.getLogger().addHandler(GrpcHandler())
logging.getLogger().setLevel(logging.INFO)

from azure.functions.meta import Datum
from local.host.worker import call_function, index_app

async def main():
    functions = {f.name: f for f in await index_app(Path(sys.argv[1]))}
    text = lambda **values: {name: Datum(value, "string") for name, value in values.items()}
    request = {"method": Datum("POST", "string"), "url": Datum("https://app/api/github/webhook", "string"),
               "headers": text(**{"x-github-delivery": "d-1", "x-hub-signature-256": "sha256=" + "0" * 64}),
               "query": {}, "params": {}, "body": Datum(b"{}", "bytes")}
    await call_function("i-1", functions["github_webhook"], Datum(request, "http"), {}, "")
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").info("Request URL: https://st")
asyncio.run(main())
print(json.dumps(lines))
"""


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(ROOT)],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "AzureWebJobsStorage": "UseDevelopmentStorage=true"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return [(name, line) for name, line in json.loads(done.stdout.splitlines()[-1])]


def test_what_the_worker_hands_to_the_host_carries_the_facts(lines) -> None:
    (line,) = [line for name, line in lines if name == "functions.deploy"]
    event, _, facts = line.partition(" ")
    assert event == "github_webhook.refused"
    assert json.loads(facts)["delivery"] == "d-1"
    assert json.loads(facts)["status"] == 503


def test_the_requests_of_azures_sdk_are_not_logged(lines) -> None:
    assert not [line for name, line in lines if name.startswith("azure.core")]


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
