"""The scripts in the guest, run by a real shell against a `microk8s` that keeps a small cluster in files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.cloud.machines import CommandResult
from shared.power.boot_guard import judge_guest
from shared.power.guest import (
    check_script,
    hold_script,
    parse_report,
    refresh_script,
    start_script,
    stop_script,
    watch_script,
)

ROOT = Path(__file__).resolve().parents[2]
# A workload is a file `Kind:name` with its replicas, `Kind:name.saved` its annotation; `log` has the calls.
MICROK8S = r"""#!/bin/sh
cd "$CLUSTER"; echo "$*" >> log
case "$1" in
stop) exit "$(cat stop_exit 2>/dev/null || echo 0)";;
start) exit 0;;
status)
  grep -q broken "$BACKEND/state" 2>/dev/null && exit 1
  exit "$(cat status_exit 2>/dev/null || echo 0)";;
esac
[ -e silent ] && exit 1
[ -e blind ] && [ "$6" = pods ] && exit 1
shift 4
case "$1 $2" in
"get deployments,statefulsets")
  case "$4" in *image*) cat image 2>/dev/null; exit 0;; esac
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
create*) cat > pod.json; cp pod.json "pod-$(date +%s%N).json";;
logs*) [ -e pod.json ] && cat collector 2>/dev/null;;
"delete pod") rm -f pod.json;;
annotate*) rm -f "$(echo "$2" | tr / :).saved";;
scale*) echo "${3#*=}" > "$(echo "$2" | tr / :)";;
esac
"""


# What dqlite writes where its store is broken, and nothing else.
JOURNALCTL = r"""#!/bin/sh
echo "journalctl $*" >> "$CLUSTER/log"
cat "$CLUSTER/journal" 2>/dev/null
grep -q broken "$BACKEND/state" 2>/dev/null && [ ! -e "$CLUSTER/journal" ] \
  && echo 'k8s-dqlite: start node: raft_start(): io: load closed segment 0000000000000042'
exit 0
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
        self.command("journalctl", JOURNALCTL)
        self.command("snap", '#!/bin/sh\necho "snap $*" >> "$CLUSTER/log"\n')
        for name, replicas in (("Deployment:rocketchat", 2), ("StatefulSet:rocketchat-mongodb", 1)):
            (self.cluster / name).write_text(str(replicas))

    def command(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o700)

    def run(self, script: str) -> CommandResult:
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "CLUSTER": str(self.cluster),
            "BACKEND": str(self.backend),
        }
        done = subprocess.run(
            ["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stderr == ""
        return CommandResult(done.stdout, done.stderr, done.returncode)

    def stop(self, seconds: int = 1):
        script = stop_script("rocketchat", timedelta(seconds=seconds), state=str(self.state))
        return parse_report(self.run(script), stopped=True)

    def start(self, *, asks_collector: bool = False):
        script = start_script(
            "rocketchat", timedelta(seconds=10), asks_collector=asks_collector, state=str(self.state)
        )
        return parse_report(self.run(script))

    def check(self):
        script = check_script("rocketchat", state=str(self.state), root=str(self.root))
        return parse_report(self.run(script))

    @property
    def backend(self) -> Path:
        return self.state / "current/var/kubernetes/backend"

    @property
    def copies(self) -> Path:
        return self.state / "common/groundcrew/backend"

    def break_store(self) -> None:
        """dqlite does not start, as after a power loss; a store that is not `broken` is well."""
        (self.backend / "state").write_text("broken")

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


def test_a_pod_asks_for_the_collector_after_the_database_and_before_the_chat(node: Node) -> None:
    (node.cluster / "image").write_text("mongo:8.0.13\nregistry.rocket.chat/rocketchat/rocket.chat:8.5.1\n")
    (node.cluster / "collector").write_text("collector=reached\n")
    node.stop()
    (node.cluster / "log").unlink()
    report = node.start(asks_collector=True)
    assert (report.problems, report.facts["collector"]) == ((), "reached")
    order = [line.split("rocketchat ", 1)[-1].split(" --ignore")[0] for line in node.log()]
    acts = [line for line in order if line.startswith(("scale", "create", "delete"))]
    assert acts == [
        "scale StatefulSet/rocketchat-mongodb --replicas=1", "delete pod groundcrew-collector", "create -f -",
        "delete pod groundcrew-collector", "scale Deployment/rocketchat --replicas=2",
    ]  # fmt: skip
    (written,) = node.cluster.glob("pod-*.json")
    pod = json.loads(written.read_text())["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.rocket.chat/rocketchat/rocket.chat:8.5.1"
    assert container["command"][:2] == ["node", "-e"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert pod["activeDeadlineSeconds"] == 60


@pytest.mark.parametrize(
    ("image", "says", "answer"),
    [
        ("rocketchat/rocket.chat:8.5.1", "collector=failed: ENOTFOUND", "failed: ENOTFOUND"),
        ("rocketchat/rocket.chat:8.5.1", "", "not known: no pod could be run"),
        ("mongo:8", "collector=reached", "not known: no image of Rocket.Chat"),
    ],
    ids=["no DNS", "no pod", "no image"],
)
def test_the_chat_is_started_whatever_becomes_of_the_question(
    node: Node, image: str, says: str, answer: str
) -> None:
    (node.cluster / "image").write_text(f"{image}\n")
    (node.cluster / "collector").write_text(f"{says}\n")
    node.stop()
    report = node.start(asks_collector=True)
    assert (report.problems, report.facts["collector"]) == ((), answer)
    assert node.replicas() == {"rocketchat": "2", "rocketchat-mongodb": "1"}
    assert not (node.cluster / "pod.json").exists()


def test_nobody_asks_where_the_chat_was_not_stopped_or_policy_does_not_want_it(node: Node) -> None:
    (node.cluster / "image").write_text("rocketchat/rocket.chat:8.5.1\n")
    assert "collector" not in node.start(asks_collector=True).facts
    node.stop()
    assert "collector" not in node.start().facts
    assert node.log("create") == []


@pytest.mark.skipif(shutil.which("node") is None, reason="node is missing")
def test_what_the_pod_runs_tells_how_it_failed(node: Node) -> None:
    (node.cluster / "image").write_text("rocketchat/rocket.chat:8.5.1\n")
    node.stop()
    node.start(asks_collector=True)
    *_, written = node.cluster.glob("pod-*.json")
    (container,) = json.loads(written.read_text())["spec"]["containers"]
    # Names that end in .invalid are in no DNS (RFC 2606), so that nobody is asked.
    program = container["command"][2].replace("collector.rocket.chat", "collector.invalid")
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("collector=failed: E")


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


# The store after a start


@pytest.fixture
def stopped(node: Node) -> Node:
    """Stopped cleanly, with a copy of its store of that evening and one of the evening before."""
    node.backend.mkdir(parents=True)
    (node.backend / "state").write_text("monday")
    assert node.stop().problems == ()
    (first,) = node.copies.iterdir()
    first.rename(node.copies / "20260302T180000Z")
    (node.backend / "state").write_text("tuesday")
    assert node.stop().problems == ()
    (node.cluster / "log").unlink()
    return node


def test_a_broken_store_is_saved_its_newest_copy_put_back_and_the_cluster_started(stopped: Node) -> None:
    stopped.break_store()
    report = stopped.start()
    assert report.problems == ()
    assert (stopped.backend / "state").read_text() == "tuesday"
    assert (Path(report.facts["store_saved"]) / "state").read_text() == "broken"
    assert report.facts["store_restored"] in {copy.name for copy in stopped.copies.iterdir()}
    assert stopped.replicas() == {"rocketchat": "2", "rocketchat-mongodb": "1"}
    order = [line.split()[0] for line in stopped.log() if line.split()[0] in ("start", "stop")]
    assert order == ["start", "stop", "start"]
    assert not (stopped.state / "common/groundcrew/tried").exists()


def test_a_store_that_is_well_is_left_alone_if_the_cluster_is_not_ready(
    stopped: Node,
) -> None:
    (stopped.cluster / "status_exit").write_text("1")
    (stopped.cluster / "journal").write_text("kubelite: certificate has expired\n")
    assert stopped.start().problems == ("MicroK8s is not ready", "the script ended with 1")
    assert (stopped.backend / "state").read_text() == "tuesday"
    assert not (stopped.state / "common/groundcrew/broken").exists()


def test_a_copy_that_is_broken_too_is_followed_by_the_one_before_it(stopped: Node) -> None:
    stopped.break_store()
    newest = max(stopped.copies.iterdir())
    (newest / "state").write_text("broken as well")
    first = stopped.start()
    assert any("MicroK8s is not ready yet" in problem for problem in first.problems)
    assert first.facts["store_restored"] == newest.name
    second = stopped.start()
    assert (second.problems, second.facts["store_restored"]) == ((), "20260302T180000Z")
    assert (stopped.backend / "state").read_text() == "monday"


def test_without_a_copy_left_nothing_is_moved_and_that_is_said(stopped: Node) -> None:
    for copy in stopped.copies.iterdir():
        (copy / "state").unlink()
        copy.rmdir()
    stopped.break_store()
    assert any("there is no copy of it" in problem for problem in stopped.start().problems)
    assert (stopped.backend / "state").read_text() == "broken"


def test_killed_while_the_copy_is_put_back_the_next_try_ends_it(stopped: Node) -> None:
    stopped.break_store()
    saved = stopped.state / "common/groundcrew/broken/20260303T060000Z"
    saved.parent.mkdir(parents=True)
    stopped.backend.rename(saved)  # moved away, and then the machine was stopped
    (stopped.backend.parent / "backend.new").mkdir()
    (stopped.cluster / "status_exit").write_text("1")
    (stopped.cluster / "journal").write_text("")
    report = stopped.start()
    assert report.facts["store_restored"]
    assert (stopped.backend / "state").read_text() == "tuesday"
    assert (saved / "state").read_text() == "broken"


def test_only_what_the_store_said_since_the_last_try_counts(stopped: Node) -> None:
    stopped.break_store()
    (max(stopped.copies.iterdir()) / "state").write_text("broken as well")
    stopped.start()
    stopped.start()
    since = [line.split("--since ")[1].split()[0] for line in stopped.log("journalctl")]
    assert since[0] == "-20min"
    assert since[1].startswith("@")


def test_three_broken_stores_are_kept(stopped: Node) -> None:
    broken = stopped.state / "common/groundcrew/broken"
    for day in range(1, 6):
        (broken / f"2026010{day}T060000Z").mkdir(parents=True)
    stopped.break_store()
    stopped.start()
    assert len(list(broken.iterdir())) == 3


def test_a_store_is_not_copied_while_the_cluster_does_not_answer(node: Node) -> None:
    node.backend.mkdir(parents=True)
    (node.cluster / "silent").write_text("")
    assert "copied" not in node.stop().facts
    assert not node.copies.exists()


def test_snaps_do_not_refresh_by_themselves(node: Node) -> None:
    assert node.start().facts["refreshes"] == "held"
    assert node.log("snap") == ["snap refresh --hold microk8s"]
    (node.cluster / "log").unlink()
    node.command("snap", '#!/bin/sh\necho "snap $*" >> "$CLUSTER/log"\n[ "$1" = set ]\n')
    assert node.start().facts["refreshes"] == "held"
    assert node.log("snap set system refresh.hold=20")
    node.command("snap", "#!/bin/sh\nexit 1\n")
    assert "refreshes" not in node.start().facts


# Refreshes

SNAP = r"""#!/bin/sh
echo "snap $*" >> "$CLUSTER/log"
case "$*" in
*--no-wait*) cat "$CLUSTER/refresh"; exit "$(cat "$CLUSTER/refresh_exit" 2>/dev/null || echo 0)";;
changes*) cat "$CLUSTER/changes" 2>/dev/null || exit 1;;
esac
"""
STATUSES = [("41", "Done"), ("42", "Doing"), ("7", "unknown"), ("4", "unknown")]
CHANGES = """\
ID   Status  Spawn               Ready               Summary
41   Done    today at 03:00 UTC  today at 03:01 UTC  Refresh "microk8s" snap
42   Doing   today at 10:00 UTC  -                   Refresh "microk8s" snap
421  Done    today at 10:00 UTC  today at 10:01 UTC  Refresh snaps "core20"
"""


@pytest.mark.parametrize(
    ("said", "refresh", "change"),
    [
        ("42\n", "begun", "42"),
        ('snap "microk8s" has no updates available\n', "none", None),
        ('error: snap "microk8s" has "refresh-snap" change in progress\n', "begun", None),
        ("error: cannot communicate with the store\nmore\n", None, None),
        ("", None, None),
    ],
    ids=["begun", "none", "in progress", "refused", "silent"],
)
def test_a_refresh_is_begun_under_the_hold_and_not_waited_for(
    node: Node, said: str, refresh: str | None, change: str | None
) -> None:
    node.command("snap", SNAP)
    (node.cluster / "refresh").write_text(said)
    (node.state / "7001").mkdir(parents=True)
    (node.state / "current").symlink_to("7001")
    report = parse_report(node.run(refresh_script(state=str(node.state))))
    assert node.log("snap") == ["snap refresh --hold microk8s", "snap refresh --no-wait microk8s"]
    assert (report.facts.get("refresh"), report.facts.get("change")) == (refresh, change)
    assert report.facts["snap"] == "7001"
    problem = said.splitlines()[0] if said else ""
    assert list(report.problems) == ([] if refresh else [f"snap refresh: {problem}".rstrip()])


def test_a_machine_without_snap_cannot_be_refreshed(node: Node) -> None:
    (node.bin / "snap").unlink()
    report = parse_report(node.run(refresh_script(state=str(node.state))))
    assert report.problems == ("there is no snap on the machine",)


@pytest.mark.parametrize(
    ("change", "status"), [("41", "Done"), ("42", "Doing"), ("7", "unknown"), ("4", "unknown")]
)
def test_how_far_a_change_is_comes_from_its_own_row(node: Node, change: str, status: str) -> None:
    node.command("snap", SNAP)
    (node.cluster / "changes").write_text(CHANGES)
    facts = parse_report(node.run(watch_script(change, state=str(node.state)))).facts
    assert (facts["change_status"], facts["ready"]) == (status, "yes")
    (node.cluster / "status_exit").write_text("1")
    assert "ready" not in parse_report(node.run(watch_script(change, state=str(node.state)))).facts


def test_holding_refreshes_does_nothing_else(node: Node) -> None:
    report = parse_report(node.run(hold_script(state=str(node.state))))
    assert (report.problems, report.facts["refreshes"]) == ((), "held")
    assert node.log("") == ["snap refresh --hold microk8s"]


# The look before a stop


def test_the_newest_installed_kernel_mongodb_and_the_certificates_are_told(node: Node) -> None:
    boot, certs = node.root / "boot", node.state / "current/certs"
    boot.mkdir()
    for version in ("6.8.0-1017-azure", "6.19.3-1002-azure", "6.8.0-1100-azure"):
        (boot / f"vmlinuz-{version}").write_text("")
    certs.mkdir(parents=True)
    subject, key = "/CN=127.0.0.1", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    out = ["-keyout", str(node.root / "key"), "-out", str(certs / "server.crt")]
    subprocess.run(
        ["openssl", "req", "-x509", *key, *out, "-subj", subject, "-days", "5"],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    node.command(
        "microk8s",
        "#!/bin/sh\nprintf '%s\\n' rocketchat/rocket.chat:8.5.1 percona/mongodb_exporter:0.40 mongo:8.0.13\n",
    )
    facts = node.check().facts
    assert facts["next_kernel"] == "6.19.3-1002-azure"
    assert facts["mongodb"] == "mongo:8.0.13"
    assert facts["cert_server"].endswith("GMT")
    assert "cert_kubelet" not in facts
    assert [finding.key.split("/")[1] for finding in judge_guest(facts, datetime.now(UTC))] == [
        "6.19.3-1002-azure",
        "server",
    ]


def test_looking_changes_nothing(node: Node) -> None:
    node.check()
    for change in ("scale", "annotate", "stop", "start", "snap"):
        assert not node.log(change)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            start_script("rocketchat", timedelta(minutes=5), asks_collector=True), id="start, asking"
        ),
        pytest.param(stop_script("rocketchat", timedelta(minutes=5)), id="stop"),
        pytest.param(start_script("rocketchat", timedelta(minutes=5)), id="start"),
        pytest.param(check_script("rocketchat"), id="check"),
        pytest.param(hold_script(), id="hold"),
        pytest.param(refresh_script(), id="refresh"),
        pytest.param(watch_script("42"), id="watch"),
    ],
)
def test_shellcheck_finds_nothing(script: str, tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(ROOT / ".local/real"))
    if shellcheck is None:
        pytest.skip("shellcheck is missing (Debian: apt-get install shellcheck)")
    path = tmp_path / "script.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    done = subprocess.run([shellcheck, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == ""
