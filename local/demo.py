"""`make demo`: the main jobs, end to end, on this machine, from nothing.

Seeds a Rocket.Chat database, backs it up through the running Functions host while it goes on changing,
looks at the stored bytes, restores them into an empty MongoDB with the command line, and proves every
namespace equal: first by the manifest's hashes, then by following the source's oplog from the second the
backup ended to now, and comparing with the source itself. Then merges are deployed: `local.deploy_demo`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from local import compare, deploy_demo, rehearsal_demo
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.rocketchat.writer import Writer
from local.stack import ROOT, Stack
from shared.adapters.blobs import open_blobs
from shared.adapters.mongodb import connect_source, connect_target
from shared.formats.documents import split_documents
from shared.mongodb.model import Timestamp
from shared.settings.environment import parse_storage_account

console = Console(highlight=False)
MEGABYTES = 25
PART = "8 MiB"
_WAIT_SECONDS = 600  # 25 s on two idle cores; a machine with other work on it has taken ten times as long


class Steps:
    """The steps of the demo, told as they end, and the table of them all."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what is appended to the list is its result."""
        began, facts = time.monotonic(), list[str]()
        console.print(f"[bold]{name}[/] …")
        yield facts
        seconds = time.monotonic() - began
        self.rows.append((name, "; ".join(facts), seconds))
        console.print(f"    {'; '.join(facts)}  [dim]{seconds:.1f} s[/]", markup=True)

    def table(self) -> Table:
        """What was done, what came out, how long it took."""
        table = Table(title="What was done", title_justify="left")
        table.add_column("step")
        table.add_column("result", overflow="fold")
        table.add_column("seconds", justify="right")
        for name, result, seconds in self.rows:
            table.add_row(name, result, f"{seconds:.1f}")
        table.add_row("all of it", "", f"{sum(row[2] for row in self.rows):.1f}", style="bold")
        return table


def groundcrew(stack: Stack, *arguments: str) -> Any:
    """The command line as a person would call it; its answer in JSON. Raises SystemExit if it fails."""
    argv = [sys.executable, "-m", "cli", *arguments, "--json"]
    done = subprocess.run(
        argv, env={**os.environ, **stack.settings}, cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode != 0:
        console.print(done.stdout[-3000:] + done.stderr[-3000:], style="red", markup=False)
        raise SystemExit(f"groundcrew {arguments[0]} failed with {done.returncode}")
    return json.loads(done.stdout)


def wait_until_sealed(stack: Stack) -> str:
    """The id of the set, once it is sealed."""
    store = open_blobs(parse_storage_account(stack.settings["AzureWebJobsStorage"]), "backups")
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        for blob in store.list("sets/"):
            if blob.name.endswith("/manifest.json"):
                return blob.name.split("/")[2]
        time.sleep(0.2)
    raise SystemExit(f"no set was sealed within {_WAIT_SECONDS} s:\n{stack.host.log_tail()}")


def look_at_ciphertext(stack: Stack, needle: bytes) -> str:
    """Read every stored part and look for plaintext; returns what the first bytes are."""
    store = open_blobs(parse_storage_account(stack.settings["AzureWebJobsStorage"]), "backups")
    parts = [blob.name for blob in store.list("sets/") if blob.name.endswith(".age")]
    for name in parts:
        stored = b"".join(store.stream(name))
        if not stored.startswith(b"age-encryption.org/v1\n") or needle in stored:
            raise SystemExit(f"{name} is not ciphertext")
    return f"{len(parts)} parts begin with age-encryption.org/v1 and hold no message's text"


def back_up_and_restore(state: Path, steps: Steps) -> None:
    """The main job. Raises SystemExit at the first thing that is not as it should be."""
    policy = _write_policy(state)
    with (
        MongoServer(state / "target", ttl_monitor=False) as target,
        _start_stack(state, policy, target) as stack,
    ):
        console.print(f"host {stack.host.url}, source {stack.mongodb_uri}, target {target.uri}")
        with steps.step(f"Seed a Rocket.Chat database of {MEGABYTES} MB") as facts:
            report = seed_database(stack.mongodb_uri, megabytes=MEGABYTES, seed=1)
            facts.append(f"{report.documents.total():,} documents in {report.collections} collections")
        with (
            steps.step("Back it up through the host while it changes") as facts,
            Writer(stack.mongodb_uri, seed=2, rate=20) as writer,
        ):
            _trigger_function(stack, "nightly_backup")
            set_id = wait_until_sealed(stack)
            shown = groundcrew(stack, "backups", "show", set_id)
            facts.append(f"{set_id}: {len(shown['parts'])} parts, {len(shown['namespaces'])} namespaces")
            facts.append(f"{shown['oplog']['entries']} oplog entries, {writer.writes} writes meanwhile")
        with steps.step("Look at what is stored") as facts:
            facts.append(look_at_ciphertext(stack, compare.sample_message_text(stack.mongodb_uri)))
        with steps.step("Verify signature, chain and every document") as facts:
            verified = groundcrew(stack, "backups", "verify", "--identity", str(stack.identity))
            facts.append(f"{verified['verified']} set, {verified['depth']}, no problems")
        with steps.step("Drill: the host restores it, signs the outcome, drops it again") as facts:
            _trigger_function(stack, "restore_drill")
            facts.append(_wait_until_proven(stack))
        with steps.step("Restore into an empty MongoDB") as facts:
            answer = groundcrew(
                stack, "restore", set_id, "--to-uri", target.uri, "--identity", str(stack.identity)
            )
            compared = [v for v in answer["verdicts"] if v["basis"] == "compared"]
            equal = sum(v["equal"] for v in compared)
            facts.append(f"{equal} of {len(compared)} namespaces equal to the manifest")
            facts.append(f"{answer['replayed']} oplog entries replayed")
        with steps.step("Follow the oplog to now, compare with the source") as facts:
            facts += _prove_equal(stack.mongodb_uri, target.uri, shown["oplog"]["end"])


def _start_stack(state: Path, policy: Path, target: MongoServer) -> Stack:
    """Drills go into the target while it is empty."""
    stack = Stack(state, policy=policy, environment={"DRILL_MONGODB_URI": target.uri})
    lines = stack.make_identity().splitlines()
    stack.environment["GROUNDCREW_DRILL_KEY"] = " ".join(x for x in lines if x.startswith("AGE-SECRET-KEY-"))
    return stack


def _wait_until_proven(stack: Stack) -> str:
    """What the drill measured, once its proof is there. Raises SystemExit if it does not prove the set."""
    store = open_blobs(parse_storage_account(stack.settings["AzureWebJobsStorage"]), "groundcrew")
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if any(store.list("proofs/")):
            (proof,) = groundcrew(stack, "drill", "list")["drills"]
            if proof["outcome"] != "proven":
                raise SystemExit(f"the drill {proof['outcome']}: {proof['problem']}")
            measured = f"RTO {proof['restore_seconds']:.1f} s, RPO {proof['data_loss_seconds']:.0f} s"
            return f"{proof['set']} proven, {proof['namespaces']} namespaces; {measured}"
        time.sleep(0.5)
    raise SystemExit(f"no drill within {_WAIT_SECONDS} s:\n{stack.host.log_tail()}")


def _write_policy(state: Path) -> Path:
    """The policy with small parts, so that there are several."""
    state.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "policy.yaml").read_text()
    path = state / "policy.yaml"
    path.write_text(text.replace("part_target: 512 MiB", f"part_target: {PART}"))
    return path


def _trigger_function(stack: Stack, function: str) -> None:
    url = f"{stack.host.url}/admin/functions/{function}"
    answer = requests.post(
        url, json={"input": ""}, headers={"x-functions-key": stack.host.master_key}, timeout=30
    )
    if answer.status_code != 202:
        raise SystemExit(f"{function} was not accepted: {answer.status_code}")


def _prove_equal(source_uri: str, target_uri: str, end: str) -> list[str]:
    source, target = connect_source(source_uri), connect_target(target_uri)
    newest = source.read_oplog_window()[1]
    entries = chain.from_iterable(
        split_documents(batch) for batch in source.read_oplog(Timestamp.parse(end), newest)
    )
    replayed = target.replay_oplog(entries)
    comparison = compare.compare_databases(source, target)
    if comparison.different:
        raise SystemExit("not equal to the source:\n" + "\n".join(comparison.different))
    facts = [
        f"{replayed.applied} later entries followed",
        f"{comparison.equal} namespaces equal to the source",
    ]
    if comparison.reordered:
        facts.append(f"in {comparison.reordered} of them fields in another order (see docs/adr/0004)")
    return facts


def main() -> int:
    """Run the demo in `.local/demo`, made anew.

    `--only deploys` leaves the backup out; `--only rehearsal` shows what is shown only then.
    """
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=main.__doc__)
    parser.add_argument("--only", choices=("backup", "deploys", "rehearsal"))
    only = parser.parse_args().only
    state, steps = ROOT / ".local" / "demo", Steps()
    shutil.rmtree(state, ignore_errors=True)
    told = []
    if only == "rehearsal":
        missing = rehearsal_demo.demo(state / "rehearsal", steps.step)
        rehearsed = (
            "[bold green]REHEARSED[/]: what fails at its start is not merged, what starts is deployed."
        )
        told.append(missing or rehearsed)
    if only in (None, "backup"):
        back_up_and_restore(state, steps)
        told.append("[bold green]PROVEN[/]: what was backed up is what came back.")
    if only in (None, "deploys"):
        missing = deploy_demo.demo(state / "deploys", steps.step)
        shipped = (
            "[bold green]SHIPPED[/]: a good merge is deployed, a bad one is undone, a forged one is refused."
        )
        told.append(f"[bold yellow]Deploys were not shown[/]: {missing}" if missing else shipped)
    console.print(steps.table())
    for line in told:
        console.print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
