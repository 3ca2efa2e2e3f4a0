"""The host's log and the app's, on standard error: JSON lines, or text to be read."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from local.host.worker import current_invocation

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def configure_logs(style: str, level: str, function_of: Callable[[str], str | None]) -> None:
    """Send all records of `level` and above to standard error in `style` ("json" or "text")."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(InvocationFilter(function_of))
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    # The worker library adds handlers of its own, by which each line would come twice.
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Each request to storage, several a second for every queue.
    logging.getLogger("azure.core").setLevel(logging.WARNING)
    # The worker library reports failures to index and to run; this host does so too, in one record each.
    logging.getLogger("azure.functions").setLevel("DEBUG" if level == "debug" else "CRITICAL")


class InvocationFilter:
    """Adds `invocation_id` and `function` to the records that a function writes."""

    def __init__(self, function_of: Callable[[str], str | None]) -> None:
        self._function_of = function_of

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True; the record is changed in place."""
        invocation_id = None if hasattr(record, "invocation_id") else current_invocation()
        if invocation_id is not None:
            record.invocation_id = invocation_id
            record.function = self._function_of(invocation_id)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, and the record's `extra` as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; values that JSON does not know appear as text."""
        fields = {
            "time": _format_time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_extra_fields(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        # Never an exception for what cannot be written: a log line must not end the work that it is about.
        return json.dumps(fields, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level, function, event, then `name=value` for each `extra`; tracebacks indented below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines."""
        extra = _extra_fields(record)
        trace = extra.pop("traceback", "")
        if record.exc_info:
            trace = self.formatException(record.exc_info)
        function = extra.pop("function", None) or record.name
        # Enough to tell two apart in a terminal.
        extra["invocation_id"] = str(extra.pop("invocation_id", ""))[:8]
        pairs = "".join(f" {name}={value}" for name, value in extra.items() if value not in (None, ""))
        text = f"{_format_time(record)} {record.levelname:<7} {function}: {record.getMessage()}{pairs}"
        return "\n    ".join([text, *str(trace).splitlines()])


def _format_time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _extra_fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN}
