"""Log lines that keep their facts on Azure.

The Functions worker sends the host one string per record, what its handler's `format` returns
(https://github.com/Azure/azure-functions-python-worker/blob/dev/workers/proxy_worker/dispatcher.py,
`AsyncLoggingHandler`), and that handler has no formatter of its own. So `extra` would be lost, unless a
formatter writes it into the string.
"""

from __future__ import annotations

import json
import logging

# What every record has; the rest of a record's attributes came by `extra`.
# Asked of the library itself: Python 3.12 added one, and there will be others.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class FactFormatter(logging.Formatter):
    """`event {"name": value, …}`: the event, then the facts as one JSON object, without secrets.

    In Application Insights: `traces | parse message with event " " facts | extend facts = parse_json(facts)`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows on lines of its own. Other values than JSON's appear as text."""
        from shared.kernel.redact import mask_forms

        facts = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        line = record.getMessage()
        if facts:
            line += f" {json.dumps(facts, default=str, ensure_ascii=False)}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return mask_forms(line)


def configure_logging() -> None:
    """Give the handlers that format nothing by themselves the formatter, and silence the SDK's request log.

    The embedded host and test runners have formatters and keep them.
    """
    for handler in logging.getLogger().handlers:
        if handler.formatter is None:
            handler.setFormatter(FactFormatter())
    # The worker logs from INFO on, at which Azure's SDK writes every request with its headers.
    logging.getLogger("azure.core").setLevel(logging.WARNING)
    logging.getLogger("azure.identity").setLevel(logging.WARNING)
