"""Microsoft's worker library as this host uses it: index an app once per process, call its functions.

`azure-functions-runtime` has no documented interface for hosts; what is used here is what its own release
1.3.0 offers (`handle_event` and `native_invocation`), so the version is pinned exactly.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from azure.functions.meta import Datum

from local.host.functions import Function, parse_function
from shared.kernel.errors import UsageError

_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """What came of one call; `error` and `traceback` are empty if `ok`."""

    ok: bool
    returned: Datum | None = None
    outputs: tuple[tuple[str, Datum], ...] = ()
    error: str = ""
    traceback: str = ""


class _Status:
    Success, Failure = "success", "failure"

    def __init__(self, status: str, exception: Any = None) -> None:
        self.status, self.exception = status, exception


class _BindingInfo(SimpleNamespace):
    # `in` is a keyword, so the library must look it up under the name it has in the protocol.
    out, inout, undefined = 1, 2, 0


_PROTOS = SimpleNamespace(
    StatusResult=_Status,
    BindingInfo=_BindingInfo,
    **{
        name: type(name, (SimpleNamespace,), {})
        for name in (
            "WorkerInitResponse",
            "WorkerMetadata",
            "FunctionMetadataResponse",
            "RpcFunctionMetadata",
            "RpcRetryOptions",
            "RpcException",
        )
    },
)


async def index_app(app_dir: Path) -> list[Function]:
    """Import the app and list its functions; afterwards they can be called.

    Raises `UsageError` if the app cannot be imported or uses what only the real host has.
    """
    _make_importable(app_dir)
    # Sync functions run in the library's pool. On the platform long jobs and HTTP have their own instances,
    # here they share one process, and in the default of a handful of threads jobs would starve requests.
    os.environ.setdefault("PYTHON_THREADPOOL_THREAD_COUNT", "32")
    import azure_functions_runtime as runtime

    init = SimpleNamespace(capabilities={}, function_app_directory=str(app_dir))
    request = SimpleNamespace(
        request=SimpleNamespace(worker_init_request=init), properties={"host": "127.0.0.1", "protos": _PROTOS}
    )
    response = await runtime.worker_init_request(request)
    if response.result.status != _Status.Success:
        raise _cannot_index(app_dir, response.result.exception)
    if "HttpUri" in response.capabilities:
        raise UsageError(
            "This host does not serve", value="HTTP streaming (azurefunctions-extensions-http-fastapi)"
        )
    metadata = (await runtime.functions_metadata_request(request)).function_metadata_results or ()
    # The pool in which sync functions run: the library leaves its start to the host.
    runtime.start_threadpool_executor()
    retried = [item.name for item in metadata if item.retry_options is not None]
    # Retry policies are the host's to carry out, and this one does not.
    if retried:
        raise UsageError("This host does not serve", value=f"retry policies: {', '.join(retried)}")
    return [parse_function(item.name, item.function_id, item.raw_bindings) for item in metadata]


def _make_importable(app_dir: Path) -> None:
    if not (app_dir / "function_app.py").is_file():
        raise UsageError(
            "There is no function_app.py", value=app_dir, hint="Name the app's directory with --app."
        )
    sys.path.insert(0, str(app_dir))
    os.chdir(app_dir)
    if app_dir != _ROOT:
        # An app may well have a package `shared` of its own, and must not get ours.
        for name in [name for name in sys.modules if name.split(".")[0] == "shared"]:
            del sys.modules[name]
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _ROOT]


def _cannot_index(app_dir: Path, exception: Any) -> UsageError:
    """One line: the error without the library's advice, and the last place in the app's own code."""
    message = exception.message.partition(". Cannot find module.")[0].splitlines()[0]
    places = re.findall(r'File "([^"]+)", line (\d+)', exception.stack_trace)
    own = [f"{Path(file).name} line {line}" for file, line in places if file.startswith(str(app_dir))]
    where = f" ({own[-1]})" if own else ""
    return UsageError("The app cannot be indexed", value=f"{message}{where}")


async def call_function(
    invocation_id: str,
    function: Function,
    trigger: Datum,
    metadata: Mapping[str, Datum],
    trace_parent: str,
) -> InvocationResult:
    """Run the function to its end, a sync one in the pool, an async one here. Its errors are outcomes."""
    from azure_functions_runtime.native_invocation import invocation_request_native

    inputs = [(function.trigger.name, trigger)]
    try:
        ok, returned, outputs, error, trace = await invocation_request_native(
            invocation_id, function.id, inputs, metadata, trace_parent
        )
    except (SystemExit, KeyboardInterrupt) as stop:  # a function that calls sys.exit() must not end the host
        return InvocationResult(ok=False, error=repr(stop))
    return InvocationResult(ok, returned, _datum_pairs(outputs), error or "", trace or "")


def _datum_pairs(outputs: Sequence[tuple[str, Datum]]) -> tuple[tuple[str, Datum], ...]:
    return tuple((name, datum) for name, datum in outputs)


def current_invocation() -> str | None:
    """The id of the invocation that the calling thread or task works for."""
    runtime = sys.modules.get("azure_functions_runtime")
    invocation = runtime.invocation_id_cv.get() if runtime else None
    return str(invocation) if invocation else None
