"""`python -m local.host --app DIR`: serve a Functions app until SIGINT or SIGTERM.

Exit codes: 0 stopped, 1 an error of the host, 2 an app or arguments it cannot serve.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from local.host.invoker import Running
from local.host.logs import configure_logs
from local.host.service import Host, HostArguments
from local.host.tasks import first_of
from local.process import announce, exit_with_parent
from shared.kernel.errors import GroundcrewError, UsageError


def main(argv: list[str] | None = None) -> int:
    """Run the host to its end and return the exit code."""
    options = _build_parser().parse_args(argv)
    running = Running()
    configure_logs(options.log_format, options.log_level, running.function_of)
    # A test that is killed must leave no host behind that holds ports and queue messages.
    exit_with_parent()
    arguments = HostArguments(
        app_dir=options.app.resolve(),
        state_dir=options.state.resolve(),
        port=options.port,
        storage_setting=options.storage_connection_string_from_env,
        grace=timedelta(seconds=options.grace),
        invisibility=timedelta(seconds=options.message_invisibility),
        max_body_bytes=options.max_body_bytes,
        longest_poll=timedelta(seconds=options.longest_poll),
    )
    try:
        return asyncio.run(_serve(arguments, running))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        # Apart from 1, so that a script tells an app that cannot be served from a host that broke.
        return 2
    except GroundcrewError as error:
        sys.stderr.write(f"{error}\n")
        return 1


async def _serve(arguments: HostArguments, running: Running) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    host = Host(arguments, os.environ, running)
    await host.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not the default handlers: a KeyboardInterrupt in the middle of a lease would leave it held.
        loop.add_signal_handler(number, stopping.set)
    # On standard output, as one line: whoever started it with port 0 learns the port from it.
    announce(
        url=host.url,
        functions=[function.name for function in host.functions],
        keys_file=str(arguments.keys_file),
        pid=os.getpid(),
    )
    await first_of(stopping.wait(), host.crashed.wait())
    # Used once more, for the second signal.
    stopping.clear()
    ended = asyncio.create_task(host.stop())
    await first_of(asyncio.shield(ended), stopping.wait())  # a second signal: wait no longer
    code = 1 if host.crashed.is_set() else 0
    if not ended.done() or not ended.result():
        # Threads cannot be stopped: those whose functions did not end in time go with the process.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.host", description="Serve an Azure Functions app.")
    parser.add_argument("--app", type=Path, required=True, help="the app's directory, with function_app.py")
    parser.add_argument("--state", type=Path, required=True, help="where the host keeps its access keys")
    parser.add_argument("--port", type=int, default=7071, help="0 for any free port")
    parser.add_argument(
        "--storage-connection-string-from-env",
        metavar="NAME",
        default="AzureWebJobsStorage",
        help="the app setting with the host's storage account",
    )
    parser.add_argument("--log-format", choices=("json", "text"), default="text")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--grace", type=float, default=10, help="seconds that a stop waits for invocations")
    parser.add_argument(
        "--message-invisibility",
        type=int,
        default=600,
        metavar="SECONDS",
        help="how long a queue message in work stays hidden after a crash",
    )
    parser.add_argument(
        "--longest-poll",
        type=float,
        default=60,
        metavar="SECONDS",
        help="look into idle queues at least this often, even if host.json says less often",
    )
    parser.add_argument("--max-body-bytes", type=int, default=100 * 1024 * 1024)
    return parser


if __name__ == "__main__":
    sys.exit(main())
