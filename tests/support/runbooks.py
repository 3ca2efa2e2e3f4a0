"""Follows a runbook word for word: its blocks in a shell, with stand-ins for what is not to be had.

`groundcrew` is this tree's own command line, `curl` and `jq` are the real ones. `az`, `kubectl` and `mongosh`
are stand-ins: `az` knows the commands and options below and refuses any other, and a test says what they do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import pytest
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient
from azure.storage.queue import QueueClient

from local.stack import ROOT, Stack
from tests.support.commands import run_script

_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.S | re.M)
_HEADING = re.compile(r"^## (.*)$", re.M)

Answer = Callable[[dict[str, str]], Any]

# Options of each command as the reference has them: https://learn.microsoft.com/cli/azure/reference-index.
AZ_OPTIONS = {
    "functionapp keys list": {"-g", "-n", "--query", "-o"},
    "functionapp config appsettings set": {"-g", "-n", "--settings"},
    "role assignment list": {"--scope", "-o"},
    "storage account failover": {"--name", "--resource-group"},
    "storage account keys renew": {"-g", "-n", "--key"},
    "storage account show": {"--name", "--expand", "--query"},
    "storage blob download-batch": {"--account-name", "--source", "--destination", "--auth-mode"},
    "storage blob list": {"--auth-mode", "--account-name", "--prefix", "--include", "--query", "-o", "-c"},
    "storage blob show": {"--auth-mode", "--account-name", "-c", "-n", "--query", "-o"},
    "storage container list": {"--auth-mode", "--account-name", "--include-deleted", "--query", "-o"},
    "storage container restore": {"--account-name", "--name", "--deleted-version", "--auth-mode"},
    "storage message clear": {"--auth-mode", "--account-name", "--queue-name"},
    "storage message peek": {"--auth-mode", "--account-name", "--queue-name", "--num-messages"},
    "vm get-instance-view": {"-g", "-n", "--query", "-o"},
}


@dataclass(frozen=True)
class RunbookBlock:
    """A block of commands and the heading that it stands under."""

    heading: str
    script: str


def read_runbook(name: str) -> list[RunbookBlock]:
    """All blocks of `docs/runbooks/<name>`, in their order."""
    text = (ROOT / "docs" / "runbooks" / name).read_text(encoding="utf-8")
    pieces = _HEADING.split(text)
    sections = zip(["", *pieces[1::2]], pieces[0::2], strict=True)
    return [RunbookBlock(heading, block) for heading, body in sections for block in _BLOCK.findall(body)]


def select_value(document: Any, query: str) -> Any:
    """As much of JMESPath (https://jmespath.org) as the runbooks ask for."""
    if query.startswith("[]."):
        return [select_value(each, query[3:]) for each in document]
    if query.startswith("["):
        return [select_value(document, each.strip()) for each in query[1:-1].split(",")]
    for step in query.split("."):
        name, _, index = step.partition("[")
        document = document[name]
        document = document[int(index[:-1])] if index else document
    return document


@dataclass
class StandInTools:
    """A folder with the programs; `answers` are what `az <command>`, `kubectl` and `mongosh` do.

    A context manager: the programs ask this process.
    """

    folder: Path
    answers: dict[str, Answer]
    calls: list[list[str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        # A bare Debian has neither.
        if absent := [program for program in ("curl", "jq") if shutil.which(program) is None]:
            pytest.skip(f"the runbooks need {' and '.join(absent)}: install Debian's packages of that name")
        tools = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                words = self.rfile.read(int(self.headers["Content-Length"])).decode().split("\0")[:-1]
                try:
                    status, text = 200, tools.run(words)
                except (KeyError, ValueError) as error:
                    status, text = 400, f"{words[0]}: {error!r}\n"
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.folder.mkdir(parents=True, exist_ok=True)
        url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        for name in ("az", "kubectl", "mongosh"):
            program = self.folder / name
            ask = f"curl -s --fail-with-body --data-binary @- -H 'Content-Type: text/plain' {url}"
            program.write_text(f"#!/bin/sh\nprintf '%s\\0' {name} \"$@\" | {ask}\n")
            program.chmod(0o755)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def run(self, words: Sequence[str]) -> str:
        """What the program prints. Raises KeyError, ValueError for what it does not know."""
        self.calls.append(list(words))
        program, *arguments = words
        if program != "az":
            return str(self.answers[program]({"arguments": " ".join(arguments)}))
        first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
        command, options = " ".join(arguments[:first]), dict(_pair(arguments[first:]))
        if unknown := options.keys() - AZ_OPTIONS[command]:
            raise ValueError(f"unrecognized arguments: {' '.join(sorted(unknown))}")
        answer = self.answers[f"az {command}"](options)
        if "--query" in options:
            answer = select_value(answer, options["--query"])
        if options.get("-o") == "tsv":
            return "".join(f"{each}\n" for each in (answer if isinstance(answer, list) else [answer]))
        return json.dumps(answer)


def _pair(words: Sequence[str]) -> list[tuple[str, str]]:
    # The only option of these without a value.
    words = [
        word for given in words for word in ([given, "true"] if given == "--include-deleted" else [given])
    ]
    if len(words) % 2 or any(not option.startswith("-") for option in words[::2]):
        raise ValueError(f"an option without a value: {' '.join(words)}")
    return list(zip(words[::2], words[1::2], strict=True))


def answers_of_stack(stack: Stack) -> dict[str, Answer]:
    """What `az` does with the embedded stack; kubectl and mongosh only answer."""
    account = stack.account.connection_string
    queue_of = partial(QueueClient.from_connection_string, account)

    def show(options: dict[str, str]) -> Any:
        blob = BlobClient.from_connection_string(account, options["-c"], options["-n"])
        found = blob.get_blob_properties()
        times = {"lastModified": found.last_modified, "creationTime": found.creation_time}
        return {"properties": {**{k: f"{t:%FT%TZ}" for k, t in times.items()}, "contentLength": found.size}}

    def list_blobs(options: dict[str, str]) -> Any:
        container = ContainerClient.from_connection_string(account, options["-c"])
        return [{"name": name} for name in container.list_blob_names(name_starts_with=options["--prefix"])]

    def download(options: dict[str, str]) -> Any:
        container = ContainerClient.from_connection_string(account, options["--source"])
        names = list(container.list_blob_names())
        for name in names:
            path = Path(options["--destination"]) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(container.download_blob(name).readall())
        return [{"Name": name} for name in names]

    def list_containers(_: dict[str, str]) -> Any:
        return [
            {"name": each.name}
            for each in BlobServiceClient.from_connection_string(account).list_containers()
        ]

    def peek(options: dict[str, str]) -> Any:
        messages = queue_of(options["--queue-name"]).peek_messages(int(options["--num-messages"]))
        return [{"content": message.content} for message in messages]

    view = {"statuses": [{"displayStatus": "Provisioning succeeded"}, {"displayStatus": "VM running"}]}
    return {
        "az functionapp keys list": lambda _: {"masterKey": stack.host.master_key},
        "az storage blob download-batch": download,
        "az storage blob list": list_blobs,
        "az storage blob show": show,
        "az storage container list": list_containers,
        "az storage message clear": lambda options: queue_of(options["--queue-name"]).clear_messages(),
        "az storage message peek": peek,
        "az vm get-instance-view": lambda _: {"instanceView": view},
        "kubectl": lambda _: "rocketchat  mongodb-0  1/1  Running\nrocketchat  rocketchat-1  1/1  Running\n",
        "mongosh": lambda _: "{ ok: 1 }\n",
    }


@dataclass
class RunbookShell:
    """Where a runbook is followed: a home folder, a person's settings, and what the placeholders mean."""

    home: Path
    tools: StandInTools
    settings: dict[str, str]
    placeholders: dict[str, str] = field(default_factory=dict)
    exports: list[str] = field(default_factory=list)  # of earlier blocks, as one shell would keep them

    def follow(self, *blocks: RunbookBlock, fails: bool = False) -> str:
        """What the blocks print, run as they stand; a command that fails ends them, unless it may."""
        scripts = [self.fill_in(block.script) for block in blocks]
        prelude = [
            "set -uo pipefail" if fails else "set -euo pipefail",
            *self.exports,
        ]
        environment = {
            **self.settings,
            "HOME": str(self.home),
            "PATH": f"{self.tools.folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        done = run_script("\n".join([*prelude, *scripts]), env=environment, cwd=self.home)
        assert fails or done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        kept = re.compile(r"^(?:export )?[A-Za-z_]+=.*$", re.M)
        self.exports += [line for script in scripts for line in kept.findall(script)]
        return done.stdout + done.stderr

    def fill_in(self, script: str) -> str:
        """The script with each placeholder replaced by what a person would write there."""
        for placeholder in sorted(self.placeholders, key=len, reverse=True):
            pattern = rf"(?<![\w$]){re.escape(placeholder)}(?!\w)"
            script = re.sub(pattern, lambda _, text=self.placeholders[placeholder]: text, script)
        return script
