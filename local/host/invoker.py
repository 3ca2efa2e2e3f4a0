"""Calls functions on behalf of all triggers: knows what is running, writes the outputs, logs the outcome."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from azure.functions.meta import Datum

from local.host.functions import Function
from local.host.worker import InvocationResult, call_function
from shared.kernel.errors import GroundcrewError

log = logging.getLogger("host")

WriteOutputs = Callable[[Function, InvocationResult], Awaitable[None]]


class Running:
    """Which functions run now, by invocation id."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._none = asyncio.Event()
        self._none.set()

    def add(self, invocation_id: str, function: str) -> None:
        """An invocation begins."""
        self._names[invocation_id] = function
        self._none.clear()

    def remove(self, invocation_id: str) -> None:
        """An invocation has ended."""
        del self._names[invocation_id]
        if not self._names:
            self._none.set()

    async def wait_for_none(self) -> None:
        """Return when nothing runs."""
        await self._none.wait()

    def function_of(self, invocation_id: str) -> str | None:
        """Which function an invocation belongs to, while it runs."""
        return self._names.get(invocation_id)

    def names(self) -> list[str]:
        """The functions that run, one entry per invocation."""
        return sorted(self._names.values())


class Invoker:
    """`write_outputs` is given each successful outcome; what it raises makes the invocation a failed one."""

    def __init__(self, running: Running, write_outputs: WriteOutputs) -> None:
        self.running = running
        self._write_outputs = write_outputs

    async def invoke(
        self,
        function: Function,
        trigger: Datum,
        metadata: Mapping[str, Datum] | None = None,
        *,
        reason: str,
        trace_parent: str = "",
    ) -> InvocationResult:
        """Run the function and write its outputs. Never raises for what the function does."""
        # In each log line of the function, as Application Insights has it.
        invocation_id = str(uuid.uuid4())
        started = time.perf_counter()
        self.running.add(invocation_id, function.name)
        try:
            trace_parent = trace_parent or new_trace_parent()
            outcome = await call_function(invocation_id, function, trigger, metadata or {}, trace_parent)
            outcome = await self._with_outputs(function, outcome)
        finally:
            self.running.remove(invocation_id)
        _log_invocation(function, invocation_id, reason, time.perf_counter() - started, outcome)
        return outcome

    async def _with_outputs(self, function: Function, outcome: InvocationResult) -> InvocationResult:
        if not outcome.ok:
            return outcome
        try:
            await self._write_outputs(function, outcome)
        except GroundcrewError as error:
            # An output that cannot be written is a failed invocation: its queue message is tried again.
            return replace(outcome, ok=False, error=str(error))
        return outcome


def new_trace_parent() -> str:
    """A W3C trace context for a call that nobody else traces."""
    random = os.urandom(24).hex()
    # Not sampled: nobody collects traces here.
    return f"00-{random[:32]}-{random[32:]}-00"


def _log_invocation(
    function: Function, invocation_id: str, reason: str, seconds: float, outcome: InvocationResult
) -> None:
    facts: dict[str, object] = {
        "invocation_id": invocation_id,
        "function": function.name,
        "reason": reason,
        "milliseconds": round(seconds * 1000, 1),
    }
    if outcome.ok:
        log.info("function_succeeded", extra=facts)
    else:
        log.error("function_failed", extra={**facts, "error": outcome.error, "traceback": outcome.traceback})
