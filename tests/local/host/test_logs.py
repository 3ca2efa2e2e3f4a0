"""The host's log lines."""

from __future__ import annotations

import json
import logging
import sys

from local.host.logs import InvocationFilter, JsonFormatter, TextFormatter


def record(**extra: object) -> logging.LogRecord:
    made = logging.LogRecord("app", logging.WARNING, __file__, 1, "disk_full", (), None)
    made.__dict__.update(extra)
    made.created = 1767268800.25
    return made


def test_a_json_line_holds_the_event_and_its_extra() -> None:
    line = JsonFormatter().format(record(free_bytes=5, path=object, invocation_id="abc", function="scan"))
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["time"] == "2026-01-01T12:00:00.250Z"
    assert (fields["level"], fields["logger"], fields["event"]) == ("warning", "app", "disk_full")
    assert (fields["free_bytes"], fields["function"]) == (5, "scan")
    assert fields["path"] == str(object)


def test_a_text_line_names_function_event_and_extra() -> None:
    line = TextFormatter().format(record(free_bytes=5, function="scan", invocation_id="0123456789"))
    assert line == "2026-01-01T12:00:00.250Z WARNING scan: disk_full free_bytes=5 invocation_id=01234567"


def test_a_traceback_follows_in_both_forms() -> None:
    made = record()
    try:
        raise ValueError("broken")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: broken" in json.loads(JsonFormatter().format(made))["traceback"]
    assert TextFormatter().format(made).splitlines()[-1] == "    ValueError: broken"


def test_outside_of_an_invocation_nothing_is_added() -> None:
    made = record()
    InvocationFilter(lambda _: "never").filter(made)
    assert not hasattr(made, "invocation_id")
