"""What closes a gate: bad charts, bad archives, versions that do not fit, secrets in the open."""

from __future__ import annotations

import io
import json
import logging
import tarfile

import pytest

from local.github import Symlink
from shared.deploy import job as deploy
from shared.deploy.deps import DecryptedValues
from shared.deploy.drift_job import compare_release
from shared.deploy.progress import DeployState
from shared.kernel.errors import Refused, Unavailable

DEPENDENCY = b"""apiVersion: v2
name: rocketchat
version: 1.0.0
appVersion: 8.2.0
dependencies:
  - {name: nats, version: 1.0.0, repository: "http://169.254.169.254/charts"}
"""


def closed(world, sha: str) -> dict[str, str]:
    """The gates that are closed, with their reasons."""
    lines = [line.split("  ", 1)[1] for line in world.record(sha).gates if not line.startswith("passed")]
    return {line.split(": ", 1)[0]: line for line in lines}


@pytest.mark.parametrize(
    ("change", "gate", "words"),
    [
        pytest.param({"values.yaml": b"a: [1\n"}, "chart", "not readable as YAML", id="invalid YAML"),
        pytest.param({"Chart.yaml": None}, "chart", "there is no chart", id="no chart"),
        pytest.param({"templates/x.yaml": Symlink("/etc/passwd")}, "chart", "link", id="a symlink"),
        pytest.param({"templates/x.yaml": b"a: {{ .no }}\n"}, "template", "nil pointer", id="no render"),
        pytest.param({"Chart.yaml": DEPENDENCY}, "dependencies", "no way to get a chart", id="not by TLS"),
        pytest.param({"values.yaml": b"host: a.b\nimage: {tag: '8.2.0'}\nsmtp: {password: hunter22}\n"},
                     "secrets in values", "plain text", id="a password in values"),
        pytest.param({"values.yaml": b"host: a.b\nimage: {tag: '10.0.0'}\nmongodb: {enabled: false}\n"},
                     "version", "skips major", id="a skipped major"),
        pytest.param({"values.yaml": b"host: a.b\nimage: {tag: '7.0.0'}\nmongodb: {enabled: false}\n"},
                     "version", "goes back", id="back to an older version"),
    ],
)  # fmt: skip
def test_a_bad_chart_closes_its_gate_and_nothing_is_applied(world, change, gate, words) -> None:
    world.deployed_first("8.2.0")
    _, sha = world.merge(change)
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert words in closed(world, sha)[gate]
    assert len(world.releases.history()) == 1
    assert "hunter22" not in repr(world.people.told) + repr(world.record(sha))


def _archive(add) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        add(archive)
    return data.getvalue()


def _file(archive: tarfile.TarFile, name: str, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, io.BytesIO(b"\0" * size))


def _pack_path_that_leaves() -> bytes:
    return _archive(lambda a: _file(a, "top/../../etc/cron.d/x", 10))


def _pack_bomb() -> bytes:
    return _archive(lambda a: [_file(a, f"top/{n}", 4 << 20) for n in range(20)])


@pytest.mark.parametrize(
    "make_archive",
    [
        pytest.param(_pack_path_that_leaves, id="a path that leaves"),
        pytest.param(_pack_bomb, id="a bomb"),
        pytest.param(lambda: b"\x1f\x8b not really", id="garbage"),
    ],
)
def test_an_archive_that_is_an_attack_is_refused(world, files, make_archive) -> None:
    archive = make_archive()
    _, sha = world.merge(files(host="one.example.org"))
    world.forge.download_tarball = lambda _sha: iter([archive])
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert "archive" in closed(world, sha)["chart"]
    assert world.releases.history() == []


def test_values_that_cannot_be_decrypted_close_the_gate(world, files) -> None:
    def refuse(_text: str, name: str) -> DecryptedValues:
        raise Refused(f"{name} is not encrypted to the key of this server")

    world.policy = world.policy.model_copy(update={"values": ("production.yaml",)})
    world.decrypt = refuse
    _, sha = world.merge({**files(), "production.yaml": b"sops: {}\n"})
    world.work()
    assert "not encrypted to the key" in closed(world, sha)["chart"]


def test_mongodb_that_the_new_version_does_not_work_with_closes_the_gate(world, files) -> None:
    world.deployed_first("8.2.0")
    world.mongodb = "6.0.5"
    _, sha = world.merge(files("8.3.0"))
    world.work()
    assert "6.0.5" in closed(world, sha)["mongodb"]
    assert world.backups == {}, "a deploy that is refused needs no backup"


def test_a_node_without_room_closes_the_gate(world, files) -> None:
    world.deployed_first("8.2.0")
    full = {"type": "DiskPressure", "status": "True"}
    node = {
        "kind": "Node",
        "metadata": {"name": "vm"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}, full],
            "allocatable": {"memory": "16Gi", "ephemeral-storage": "100Gi"},
        },
    }
    world.cluster.add(node)
    _, sha = world.merge(files("8.3.0"))
    world.work()
    assert "disk" in closed(world, sha)["headroom"]


def test_a_secret_that_pods_need_and_nobody_made_closes_the_gate(world, files) -> None:
    needy = files(host="one.example.org")
    variable = b"env: [{name: MONGO_URL, valueFrom: {secretKeyRef: {name: chat-db, key: uri}}}, {"
    needy["templates/deployment.yaml"] = needy["templates/deployment.yaml"].replace(b"env: [{", variable)
    _, sha = world.merge(needy)
    world.work()
    assert "there is no Secret chat-db" in closed(world, sha)["references"]
    secret = {"kind": "Secret", "metadata": {"name": "chat-db"}, "data": {"uri": "eA=="}}
    world.cluster.add(secret)
    world.send(sha, again="once-more", delivery="d-again")
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_plan_changes_nothing_and_says_what_would(world, files) -> None:
    world.deployed_first("8.2.0")
    pull = world.propose(files("8.3.0"))
    sha = world.repository.merge(pull, by="grace")
    before = {blob.name: blob.etag for blob in world.state.list("")}
    found = deploy.preview_deploy(world.deps(), sha, "production").results
    assert not found.report.passed, "nobody approved it"
    assert "8.2.0" in found.plan
    assert "8.3.0" in found.plan
    assert {blob.name: blob.etag for blob in world.state.list("")} == before
    assert world.queues.length(deploy.QUEUE) == 0
    assert len(world.repository.deployments) == 1


def test_a_deploy_by_hand_goes_through_the_same_gates(world, files) -> None:
    pull = world.propose(files(host="one.example.org"))
    sha = world.repository.merge(pull, by="ada")
    deploy.request_deploy(world.deps(), sha, "production")
    world.work()
    assert world.record(sha).state is DeployState.FAILED
    assert "approvals" in closed(world, sha)


def test_what_is_secret_in_the_values_is_said_nowhere(world, files, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "tZ9!correct-horse-battery"
    world.policy = world.policy.model_copy(update={"values": ("production.yaml",)})
    world.decrypt = lambda text, _name: DecryptedValues(text.replace("ENC[AES256_GCM,x]", secret), (secret,))
    changed = files(host="one.example.org")
    # The secret gets into an environment variable, and into the error of a template that fails with it.
    changed["production.yaml"] = b"image: {tag: '8.2.0'}\nhost: ENC[AES256_GCM,x]\n"
    _, good = world.merge(changed)
    world.work()
    world.releases.failures = [Unavailable("helm says", value=secret)]
    broken = {
        "templates/x.yaml": b"kind: X\nmetadata: {name: '{{ .Values.host }}'}\nspec: {{ .Values.nope }}\n"
    }
    _, bad = world.merge(broken)
    world.work()
    assert world.record(good).state is DeployState.DONE
    assert world.record(bad).state is DeployState.FAILED
    said = [repr(world.people.told), repr(world.repository.comments), caplog.text]
    said += [repr(one.statuses) for one in world.repository.deployments]
    said += [repr([progress.__dict__ for progress in caplog.records])]
    record = {blob.name: world.state.read(blob.name)[0].decode() for blob in world.state.list("")}
    assert len(record) > 4
    for text in [*said, *record.values()]:
        assert secret not in text


def _ship_sealed(world, files, secret: str) -> None:
    """A release whose host was encrypted in the repository."""
    world.policy = world.policy.model_copy(update={"values": ("production.yaml",)})

    def decrypt(text: str, _name: str) -> DecryptedValues:
        is_sealed = "ENC[x]" in text
        return DecryptedValues(text.replace("ENC[x]", secret), (secret,) if is_sealed else ())

    world.decrypt = decrypt
    changed = {**files(), "production.yaml": b"image: {tag: '8.2.0'}\nhost: ENC[x]\n"}
    _, sha = world.merge(changed)
    world.work()
    assert world.record(sha).state is DeployState.DONE


def test_a_value_that_is_no_longer_encrypted_shows_not_what_it_was(world, files) -> None:
    secret = "tZ9!correct-horse-battery"
    _ship_sealed(world, files, secret)
    _, sha = world.merge({"production.yaml": b"image: {tag: '8.2.0'}\nhost: plain.example.org\n"})
    world.work()
    plan = world.record(sha).plan
    assert world.record(sha).state is DeployState.DONE
    assert "plain.example.org" in plan
    assert secret not in plan + repr(world.people.told) + repr(world.repository.comments)


def test_where_it_cannot_be_known_what_was_encrypted_no_old_value_is_shown(world, files) -> None:
    secret = "tZ9!correct-horse-battery"
    _ship_sealed(world, files, secret)
    before = world.decrypt

    def forget(text: str, name: str) -> DecryptedValues:
        if "ENC[x]" in text:
            raise Refused("the key is gone")
        return before(text, name)

    world.decrypt = forget
    _, sha = world.merge({"production.yaml": b"image: {tag: '8.2.0'}\nhost: plain.example.org\n"})
    world.work()
    plan = world.record(sha).plan
    assert "(not shown: what was encrypted before is not known) -> " in plan
    assert "plain.example.org" in plan
    assert secret not in plan


def _change_host_by_hand(world, value: str) -> None:
    """In the live object of whatever was rendered with the host; the release's own record stays."""
    manifests = world.releases.manifests(world.releases.status().number)
    changed = [json.loads(json.dumps(one).replace("tZ9!correct-horse-battery", value)) for one in manifests]
    assert changed != list(manifests)
    world.cluster.get_live_objects = lambda wanted: [
        next(live for live, one in zip(changed, manifests, strict=True) if one == asked) for asked in wanted
    ]


def test_a_drift_shows_not_what_was_encrypted(world, files) -> None:
    secret = "tZ9!correct-horse-battery"
    _ship_sealed(world, files, secret)
    _change_host_by_hand(world, "by-hand.example.org")
    (drift, *_) = compare_release(world.deps()).drifts
    assert "by-hand.example.org" in str(drift)
    assert secret not in str(drift)
    assert "**redacted**" in str(drift)


@pytest.mark.parametrize("failure", [Refused("the key is gone"), Unavailable("GitHub does not answer")])
def test_a_drift_shows_no_value_where_it_is_not_known_what_was_encrypted(world, files, failure) -> None:
    secret = "tZ9!correct-horse-battery"
    _ship_sealed(world, files, secret)
    _change_host_by_hand(world, "by-hand.example.org")

    def refuse(_text: str, _name: str) -> DecryptedValues:
        raise failure

    world.decrypt = refuse
    drifts = compare_release(world.deps()).drifts
    assert drifts
    for drift in drifts:
        assert "(not shown: what was encrypted is not known)" in str(drift)
        assert secret not in str(drift)
        assert "by-hand.example.org" not in str(drift)
