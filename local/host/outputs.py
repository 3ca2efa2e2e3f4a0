"""Queue output bindings: what a function returned or set, put into the queues it names."""

from __future__ import annotations

from collections.abc import Callable

from azure.core.exceptions import AzureError
from azure.functions.meta import Datum

from local.host.config import AppSettings, QueueOptions
from local.host.functions import Binding, Function
from local.host.queue_client import HostQueue, QueueAccount
from local.host.queue_messages import encode_body, output_bodies
from local.host.worker import InvocationResult
from shared.kernel.errors import Unavailable

Accounts = Callable[[str], QueueAccount]


def binding_queue(
    binding: Binding, function: Function, settings: AppSettings, accounts: Accounts
) -> HostQueue:
    """The queue of a trigger or an output. Raises `UsageError` for a setting that is missing."""
    name = settings.resolve(binding.text("queueName"), f"the queue of {function.name}")
    return accounts(settings.connection(binding.text("connection"))).queue(name)


class QueueOutputs:
    """Writes the queue outputs of functions; all their queues are resolved when the host starts."""

    def __init__(
        self, functions: list[Function], settings: AppSettings, accounts: Accounts, options: QueueOptions
    ) -> None:
        self._base64 = options.base64
        self._queues = {
            (function.name, binding.name): binding_queue(binding, function, settings, accounts)
            for function in functions
            for binding in function.outputs("queue")
        }

    async def write(self, function: Function, outcome: InvocationResult) -> None:
        """Send one invocation's messages. Raises `Unavailable`, or `UsageError` for a value not served."""
        values = [*outcome.outputs]
        if outcome.returned is not None:
            values.append(("$return", outcome.returned))
        for name, datum in values:
            queue = self._queues.get((function.name, name))
            # None means no message: a function decides by it that there is nothing to tell.
            if queue is not None and datum.value is not None:
                await self._send(queue, function, datum)

    async def _send(self, queue: HostQueue, function: Function, datum: Datum) -> None:
        for body in output_bodies(function, datum):
            try:
                await queue.send(encode_body(body, base64_encoded=self._base64))
            except AzureError as error:
                # Several messages of one output are no transaction: those before it are in the queue.
                raise Unavailable(f"The queue {queue.name} took no message", value=error) from error
