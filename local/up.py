"""`make up`: the embedded stack with something in it, until Ctrl-C.

A Rocket.Chat database is seeded, a first backup is made, a VM runs by policy, a merge is deployed to the
stand-in of a cluster, and a second, empty MongoDB waits for a restore. Everything keeps its port from one
start to the next, and the commands that are printed work as they are pasted.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pymongo
import requests

from local import deploy_demo
from local.azure_and_chat import AroundPorts
from local.deploy_demo import Site
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.stack import HOST_PORT, ROOT, Stack, StateLock, free_port_or_any, lock_state_dir
from shared.adapters.blobs import open_blobs
from shared.kernel.errors import Locked
from shared.policy.starter import starter_policy
from shared.settings.environment import parse_storage_account

# Azurite's own; MongoDB's are not the usual ones, behind which there may be a server that matters.
PORTS = {
    "blob": 10000, "queue": 10001, "azure": 10010, "chat": 10011, "rocketchat": 10012,
    "mongodb": 27117, "target": 27118,
}  # fmt: skip
_BACKUP_SECONDS = 120
# Always up: what is tried in the evening is to work too.
_POWER = """
power:
  machines:
    - name: rocketchat
      windows: [daily 00:00-24:00]
"""


# Of the last run's cluster and repository, which are gone: the new ones know nothing of what they hold.
_DEPLOYS = ("deploys/", "runs/deploy/", "deliveries/", "holds/deploy/")


def write_policy(site: Site) -> Path:
    """The policy that init writes, with the stand-in's VM under schedule and deploys of its repository."""
    return site.policy(starter_policy() + _POWER)


def forget_deploys(stack: Stack) -> None:
    """Remove what the last run deployed from the records."""
    state = open_blobs(parse_storage_account(stack.settings["AzureWebJobsStorage"]), "groundcrew")
    for prefix in _DEPLOYS:
        for blob in list(state.list(prefix)):
            state.delete(blob.name)


def deploy(stack: Stack, site: Site) -> str:
    """Merge a pull request, of which GitHub tells the host; says how its deploy ended."""
    _print_line("deploying a merge …")
    sha = site.merge(stack.host.url, site.propose("8.2.0", "hello"))
    record = deploy_demo.wait_for_deploy(stack, sha)
    return f"deployed {sha[:7]}: {record.progress.state.value}"


def fill(stack: Stack) -> str:
    """Seed the database and make a backup, unless there are; says what there is."""
    with pymongo.MongoClient[dict[str, object]](stack.mongodb_uri) as client:
        if "rocketchat" not in client.list_database_names():
            _print_line("seeding a Rocket.Chat database …")
            seed_database(stack.mongodb_uri, megabytes="tiny")
    if newest := _newest_set(stack):
        return f"there is backup {newest}"
    _print_line("making a first backup …")
    headers = {"x-functions-key": stack.host.master_key}
    requests.post(f"{stack.host.url}/admin/functions/nightly_backup", json={}, headers=headers, timeout=30)
    deadline = time.monotonic() + _BACKUP_SECONDS
    while time.monotonic() < deadline:
        if newest := _newest_set(stack):
            return f"made backup {newest}"
        time.sleep(0.2)
    return f"the first backup is not there after {_BACKUP_SECONDS} s; see {stack.state_dir / 'host'}"


def _newest_set(stack: Stack) -> str:
    store = open_blobs(parse_storage_account(stack.settings["AzureWebJobsStorage"]), "backups")
    sealed = [blob.name for blob in store.list("sets/") if blob.name.endswith("/manifest.json")]
    return max((name.split("/")[2] for name in sealed), default="")


def write_settings(stack: Stack) -> Path:
    """A file for a shell: the settings, and the command `groundcrew`; only its owner can read it."""
    path = stack.state_dir / "settings.env"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    values = {
        **stack.settings,
        "LOCAL_KEY": stack.host.master_key,
        "PYTHONPATH": str(ROOT),
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines.append(f'groundcrew() {{ {shlex.quote(sys.executable)} -m cli "$@"; }}')
    path.write_text("\n".join(lines) + "\n")
    return path


def commands(stack: Stack, target: str, settings: Path) -> list[str]:
    """What to try, in this order; a test pastes them into a shell."""
    url = stack.host.url
    return [
        f". {shlex.quote(str(settings))}",
        "groundcrew doctor",
        "groundcrew status",
        "groundcrew backups list",
        f"groundcrew backups verify latest --identity {shlex.quote(str(stack.identity))}",
        "groundcrew backups create --wait",
        f"groundcrew restore latest --to-uri {target} --identity {shlex.quote(str(stack.identity))}",
        "groundcrew power status",
        "groundcrew deploy status",
        "groundcrew notify test",
        f'curl -sS -H "x-functions-key: $LOCAL_KEY" {url}/api/doctor',
    ]


def _show_commands(stack: Stack, target: str, settings: Path) -> None:
    rows = {
        "wake page": f"{stack.host.url}/api/wake",
        "deploy page": f"{stack.host.url}/api/deploys",
        "health": f"{stack.host.url}/api/health",
        "MongoDB": stack.mongodb_uri,
        "empty MongoDB": target,
        "blobs": stack.account.endpoints["blob"],
        "Azure": stack.settings["GROUNDCREW_RESOURCE_MANAGER"],
        "Rocket.Chat": stack.settings["GROUNDCREW_CHAT"],
        "policy": str(stack.policy),
        "log of the host": str(stack.state_dir / "host"),
    }
    _print_line("\n" + "\n".join(f"{name:<17}{where}" for name, where in rows.items()))
    _print_line("\nIn another terminal:\n")
    _print_line("\n".join(commands(stack, target, settings)))
    _print_line("\nCtrl-C stops everything.")


def _print_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(state: Path, port: int, over: threading.Event) -> None:
    state.mkdir(parents=True, exist_ok=True)
    # Its own, before the stack's: what is removed here is in use if another runs.
    with lock_state_dir(state, "up.lock") as lock:
        ports = {name: free_port_or_any(number) if port else 0 for name, number in PORTS.items()}
        for folder in ("target", "site"):
            shutil.rmtree(state / folder, ignore_errors=True)
        with Site(state / "site") as site:
            _serve(state, free_port_or_any(port), ports, site, over, lock)


def _serve(
    state: Path, port: int, ports: Mapping[str, int], site: Site, over: threading.Event, lock: StateLock
) -> None:
    # The VM's own chat is told apart from the cluster's, and both are told of by the same webhooks.
    settings = {name: value for name, value in site.settings.items() if name != "GROUNDCREW_NOTIFY_URLS"}
    stack = Stack(
        state,
        host_port=port,
        policy=write_policy(site),
        environment=settings,
        persistent=True,
        with_azure=True,
        blob_port=ports["blob"],
        queue_port=ports["queue"],
        mongodb_port=ports["mongodb"],
        around_ports=AroundPorts(ports["azure"], ports["chat"], ports["rocketchat"]),
    )
    with stack, MongoServer(state / "target", port=ports["target"], ttl_monitor=False) as target:
        lock.tell_address(stack.host.url)
        forget_deploys(stack)
        _print_line(fill(stack))
        _print_line(deploy(stack, site))
        _show_commands(stack, target.uri, write_settings(stack))
        over.wait()
        _print_line("stopping …")


def main() -> int:
    """Run it until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.up", description=main.__doc__)
    parser.add_argument("--state", type=Path, default=ROOT / ".local" / "up")
    parser.add_argument("--port", type=int, default=HOST_PORT, help="of the host; 0: all ports are free ones")
    arguments = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    _print_line("starting Azurite, MongoDB, the stand-ins and the Functions host …")
    try:
        _run(arguments.state.resolve(), arguments.port, over)
    except Locked as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
