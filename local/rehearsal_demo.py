"""`python -m local.demo --only rehearsal`: an upgrade is tried on a copy of the backup before it is merged.

A duplicate among the runs of scheduled jobs is planted in the database, as in RocketChat/Rocket.Chat#29013.
The rehearsal fails, and the gate is closed. Without it the rehearsal passes, and the merge is deployed.
GitHub, the cluster and Rocket.Chat are stand-ins; the host, Helm, the database and its backups are real.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pymongo
import yaml

from local import deploy_demo
from local.helm import ensure_helm
from local.rocketchat.seed import seed_database
from local.rocketchat.upgraded import run_in_pods
from local.stack import ROOT, Stack
from shared.kernel.errors import GroundcrewError

_RIGHTS = ROOT / "infra" / "chart" / "rbac-rehearsal.yaml"
_HISTORY = "rocketchat_cron_history"
_TIMEOUT = 600


class Step(Protocol):
    """As `local.demo.Steps.step`."""

    def __call__(self, name: str) -> AbstractContextManager[list[str]]: ...


def demo(state: Path, step: Step) -> str:
    """With a small database, in the folder `state`.

    Returns why it could not be shown, if there is no Helm for this machine; else nothing. Raises SystemExit.
    """
    try:
        ensure_helm()
    except GroundcrewError as error:
        return str(error)
    with deploy_demo.Site(state / "site") as site:
        rights = yaml.safe_load_all(_RIGHTS.read_text())
        # The namespace of the release is there already, and the demo's kubeconfig is its administrator's.
        site.cluster.add(*rights)
        run_in_pods(site.cluster, state / "copies")
        # A Job that ended must outlive the looks of a slow machine.
        site.cluster.behaviour.second = 0.1
        stack = Stack(state / "stack", environment=dict(site.settings))
        keys = stack.make_identity().splitlines()
        stack.environment["GROUNDCREW_DRILL_KEY"] = next(k for k in keys if k.startswith("AGE-SECRET-KEY-"))
        stack.policy = _write_policy(site)
        with stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            _show(stack, site, step)
    return ""


def _write_policy(site: deploy_demo.Site) -> Path:
    path = site.policy((ROOT / "policy.yaml").read_text())
    # Whatever version the embedded MongoDB calls itself: of the real ones each has its image.
    images = [f"docker.io/library/mongo:{series}.0" for series in ("7.0", "8.0", "8.2")]
    rehearsal = f"  rehearsal: {{when: always, images: {json.dumps(images)}, storage_limit: 8 GiB}}\n"
    path.write_text(path.read_text().replace("deploy:\n", f"deploy:\n{rehearsal}", 1))
    return path


def _show(stack: Stack, site: deploy_demo.Site, step: Step) -> None:
    pull = site.propose("8.3.0", "hello")
    with step("Plant a duplicate among the runs of scheduled jobs, and back up") as facts:
        facts.append(_plant_duplicate(stack.mongodb_uri))
        facts.append(_cli(stack, "backups", "create", "--here")["set"])
    with step(f"Rehearse #{pull.number} on that backup: the start fails") as facts:
        record = _cli(stack, "deploy", "rehearse", f"#{pull.number}", "--wait", code=1)
        facts += [record["problem"], _describe_left(site)]
        if "duplicate keys" not in record["problem"]:
            raise SystemExit(f"it should have failed on the duplicate: {record}")
    with step("Remove the duplicate, back up, rehearse again") as facts:
        _remove_duplicate(stack.mongodb_uri)
        _cli(stack, "backups", "create", "--here")
        record = _cli(stack, "deploy", "rehearse", f"#{pull.number}", "--wait")
        facts += [_read_comment(site, pull.number), _describe_left(site)]
    with step("Merge it: the rehearsal of its newest commit opens the gate") as facts:
        sha = site.merge(stack.host.url, pull)
        deployed = deploy_demo.wait_for_deploy(stack, sha)
        facts.append(next(line for line in deployed.gates if "  rehearsal: " in line))
        if deployed.state.value != "done":
            why = f"{deployed.state.value}: {deployed.progress.reason}"
            raise SystemExit(f"{sha[:7]} {why}\n" + "\n".join(deployed.gates))
        facts.append(f"{sha[:7]} is deployed")


def _plant_duplicate(uri: str) -> str:
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        history = client["rocketchat"][_HISTORY]
        # Where it could happen the index had not been built, which Rocket.Chat only logs.
        for name, index in history.index_information().items():
            if index.get("unique"):
                history.drop_index(name)
        first = history.find_one({}, {"_id": 0})
        history.insert_one({**(first or {}), "_id": "planted"})
    return "one run is there twice"


def _remove_duplicate(uri: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        client["rocketchat"][_HISTORY].delete_one({"_id": "planted"})


def _describe_left(site: deploy_demo.Site) -> str:
    left = site.cluster.cluster.list("Job", "groundcrew-rehearsal")
    return f"{len(left)} Jobs are left in the cluster"


def _read_comment(site: deploy_demo.Site, number: int) -> str:
    """The line of what was measured, as the pull request shows it."""
    texts = [str(one["body"]) for one in site.repository.comments.get(number, [])]
    lines = [line for text in texts for line in text.splitlines() if "igration" in line]
    return lines[0].rstrip(".") if lines else "no comment"


def _cli(stack: Stack, *arguments: str, code: int = 0) -> Mapping[str, Any]:
    argv = [sys.executable, "-m", "cli", *arguments, "--json"]
    environment = {**os.environ, **stack.settings}
    done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT)
    if done.returncode != code:
        tail = stack.host.log_tail()
        raise SystemExit(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{tail}")
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer
