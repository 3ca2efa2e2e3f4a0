"""The scripts in the guest, run by a real shell against a `microk8s` that keeps a small cluster in files."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from shared.cloud.machines import CommandResult
from shared.power.guest import parse_report, start_script, stop_script

# A workload is a file `Kind:name` with its replicas, `Kind:name.saved` its annotation; `log` has the calls.
MICROK8S = r"""#!/bin/sh
cd "$CLUSTER"; echo "$*" >> log
case "$1" in
stop) exit "$(cat stop_exit 2>/dev/null || echo 0)";;
start) exit 0;;
status) exit "$(cat status_exit 2>/dev/null || echo 0)";;
esac
[ -e silent ] && exit 1
[ -e blind ] && [ "$6" = pods ] && exit 1
shift 4
case "$1 $2" in
"get deployments,statefulsets")
  for f in Deployment:* StatefulSet:*; do
    case "$f" in *.saved|*'*'*) continue;; esac
    case "$4" in
      *replicas*annotations*|*annotations*) echo "$(echo "$f" | tr : /) $(cat "$f.saved" 2>/dev/null)";;
      *) echo "$(echo "$f" | tr : /) $(cat "$f")";;
    esac
  done;;
"get pods")
  for f in Deployment:* StatefulSet:*; do
    case "$f" in *.saved|*'*'*) continue;; esac
    name="${f#*:}"
    if [ "$(cat "$f")" -gt 0 ] || [ -e "stuck-$name" ]; then echo "$name-0 Running"; fi
  done; echo "cleanup-1 Succeeded";;
"annotate --overwrite") echo "${4#*=}" > "$(echo "$3" | tr / :).saved";;
annotate*) rm -f "$(echo "$2" | tr / :).saved";;
scale*) echo "${3#*=}" > "$(echo "$2" | tr / :)";;
esac
"""


class Node:
    """A machine with MicroK8s, as far as the scripts see it."""

    def __init__(self, root: Path) -> None:
        self.root, self.cluster, self.bin = root, root / "cluster", root / "bin"
        self.state = root / "snap"
        self.cluster.mkdir()
        self.bin.mkdir()
        self.command("microk8s", MICROK8S)
        self.command("pgrep", '#!/bin/sh\ncat "$CLUSTER/shims" 2>/dev/null\n')
        self.command("sleep", "#!/bin/sh\n:\n")
        for name, replicas in (("Deployment:rocketchat", 2), ("StatefulSet:rocketchat-mongodb", 1)):
            (self.cluster / name).write_text(str(replicas))

    def command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o700)

    def run(self, script: str) -> CommandResult:
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "CLUSTER": str(self.cluster)}
        done = subprocess.run(
            ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stderr == ""
        return CommandResult(done.stdout, done.stderr, done.returncode)

    def stop(self, seconds: int = 1):
        script = stop_script("rocketchat", timedelta(seconds=seconds), state=str(self.state))
        return parse_report(self.run(script), stopped=True)

    def start(self):
        return parse_report(self.run(start_script("rocketchat", timedelta(seconds=10))))

    def replicas(self) -> dict[str, str]:
        names = ("Deployment:rocketchat", "StatefulSet:rocketchat-mongodb")
        return {name.split(":")[1]: (self.cluster / name).read_text().strip() for name in names}

    def log(self, *words: str) -> list[str]:
        lines = (self.cluster / "log").read_text().splitlines()
        return [line for line in lines if all(word in line for word in words)]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_the_chat_is_scaled_down_before_its_database_and_both_before_microk8s_stops(node: Node) -> None:
    assert node.stop().problems == ()
    assert node.replicas() == {"rocketchat": "0", "rocketchat-mongodb": "0"}
    order = [line.split("kubectl --request-timeout=15s -n rocketchat ")[-1] for line in node.log()]
    downs = [line for line in order if line.startswith("scale") or line == "stop"]
    assert downs == [
        "scale Deployment/rocketchat --replicas=0",
        "scale StatefulSet/rocketchat-mongodb --replicas=0",
        "stop",
    ]


def test_after_a_start_the_replicas_are_put_back_the_database_first_and_once(node: Node) -> None:
    node.stop()
    (node.cluster / "log").unlink()
    assert node.start().problems == ()
    assert node.replicas() == {"rocketchat": "2", "rocketchat-mongodb": "1"}
    assert ["mongodb" in line for line in node.log("scale")] == [True, False]
    (node.cluster / "Deployment:rocketchat").write_text("5")  # scaled by somebody since
    assert node.start().problems == ()
    assert node.replicas()["rocketchat"] == "5"


def test_a_stop_that_is_repeated_remembers_the_replicas_of_before(node: Node) -> None:
    node.stop()
    node.stop()
    node.start()
    assert node.replicas() == {"rocketchat": "2", "rocketchat-mongodb": "1"}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("stuck-rocketchat", "", "pods still running: rocketchat-0"),
        ("stuck-rocketchat-mongodb", "", "pods still running: rocketchat-mongodb-0"),
        ("stop_exit", "1", "`microk8s stop` ended with 1"),
        ("shims", "11\n12\n", "containers left: 2"),
        ("silent", "", "the cluster did not answer"),
        ("blind", "", "pods still running: (not known)"),
    ],
)
def test_what_is_not_a_clean_stop_is_named(node: Node, name: str, content: str, problem: str) -> None:
    (node.cluster / name).write_text(content)
    assert problem in node.stop().problems
    assert node.log("stop")  # MicroK8s is stopped all the same


def test_the_clusters_store_is_copied_at_each_clean_stop_and_seven_copies_stay(node: Node) -> None:
    backend = node.state / "current/var/kubernetes/backend"
    backend.mkdir(parents=True)
    (backend / "snapshot.db").write_text("state")
    copies = node.state / "common/groundcrew/backend"
    copies.mkdir(parents=True)
    for day in range(1, 10):
        (copies / f"2026010{day}T190000Z").mkdir()
    (copies / "20260109T190500Z.new").mkdir()  # a copy that died
    report = node.stop()
    assert (report.problems, len(list(copies.iterdir()))) == ((), 7)
    assert (copies / report.facts["copied"] / "snapshot.db").read_text() == "state"
    assert not list(copies.glob("*.new"))
    (node.cluster / "shims").write_text("11\n")
    assert "copied" not in node.stop().facts


def test_a_cluster_that_is_not_ready_keeps_its_annotations_for_the_next_try(node: Node) -> None:
    node.stop()
    (node.cluster / "status_exit").write_text("1")
    assert "MicroK8s is not ready" in node.start().problems
    (node.cluster / "status_exit").unlink()
    node.start()
    assert node.replicas() == {"rocketchat": "2", "rocketchat-mongodb": "1"}


def test_a_machine_without_microk8s_has_nothing_to_stop(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.bin / "microk8s").unlink()
    assert node.stop().problems == ()
    assert node.start().problems == ()


def test_kernel_and_host_are_noted(node: Node) -> None:
    facts = node.stop().facts
    assert facts["kernel"]
    assert facts["host"]


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (CommandResult("", "", 0), "`microk8s stop` ended with no answer"),
        (CommandResult("groundcrew:stop_exit=0\n", "", 0), "containers left: not known"),
        (CommandResult("groundcrew:stop_exit=0\ngroundcrew:containers=0\n", "", None), "ended with None"),
        (CommandResult("groundcrew:stop_exit=0\ngroundcrew:containers=0\n", "", 3), "ended with 3"),
    ],
)
def test_what_was_not_said_is_not_believed(result: CommandResult, problem: str) -> None:
    assert any(problem in text for text in parse_report(result, stopped=True).problems)
