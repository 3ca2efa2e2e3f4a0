"""The workflows: valid, pinned, with few rights; and the scripts that decide for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.kernel.version import VERSION
from tests.monitoring.programs import find

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "infra" / "github" / "scripts"
WORKFLOWS = sorted(
    [*(ROOT / "infra/github/workflows").glob("*.yml"), *(ROOT / ".github/workflows").glob("*.yml")]
)
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: f"{path.parts[-3]}/{path.name}")


def test_actionlint_finds_nothing() -> None:
    actionlint = find("actionlint", "go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12")
    done = subprocess.run(
        [actionlint, *map(str, WORKFLOWS)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout


@each_workflow
def test_every_action_is_pinned_to_a_commit_with_its_tag_beside_it(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "uses:" in line:
            assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@each_workflow
def test_a_workflow_may_only_read_unless_a_job_says_otherwise(path: Path) -> None:
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    assert set(workflow["permissions"].values()) == {"read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


@each_workflow
def test_no_script_has_a_strangers_text_in_it(path: Path) -> None:
    """What comes from outside reaches a script by its environment, never as a part of its text."""
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), step


def test_what_runs_in_the_network_runs_nothing_of_a_pull_request() -> None:
    workflow = yaml.safe_load((ROOT / "infra/github/workflows/plan.yml").read_text())
    job = workflow["jobs"]["plan"]
    assert "self-hosted" in job["runs-on"]
    assert not [step for step in job["steps"] if "uses" in step]
    assert "head.repo.full_name == github.repository" in job["if"]


def test_deploys_go_through_the_environment_production_one_after_the_other() -> None:
    workflow = yaml.safe_load((ROOT / "infra/github/workflows/deploy.yml").read_text())
    assert workflow["jobs"]["deploy"]["environment"] == "production"
    assert workflow["concurrency"] == {"group": "deploy", "cancel-in-progress": False}


@pytest.mark.parametrize(("tag", "fits"), [(f"v{VERSION}", True), ("v0.0.0", False), (VERSION, False)])
def test_a_release_is_of_the_version_that_the_code_names(tag: str, fits: bool) -> None:
    done = subprocess.run(
        ["bash", "-e", "-c", f"python() {{ '{sys.executable}' \"$@\"; }}\n{release_step('The tag is')}"],
        cwd=ROOT, env={"GITHUB_REF_NAME": tag, "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode == 0) is fits, done.stderr
    assert "Traceback" not in done.stderr


def test_the_hashes_of_a_release_are_those_of_its_files_and_helm_is_in_the_package(tmp_path: Path) -> None:
    (tmp_path / "dist" / "package").mkdir(parents=True)
    (tmp_path / "dist" / "groundcrew.zip").write_bytes(b"zip")
    script = release_step("Build the command").replace(".venv/bin/uv build", "true") + release_step("Hashes")
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "dist" / "SHA256SUMS").read_text().split()[1::2] == ["groundcrew.zip"]
    runs = [step.get("run", "") for step in release_steps()]
    (helm, package) = (runs.index(f"make {name} PYTHON=python") for name in ("helm", "package"))
    assert helm < package


def release_steps() -> list[dict[str, Any]]:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    steps: list[dict[str, Any]] = workflow["jobs"]["build"]["steps"]
    return steps


def release_step(name: str) -> str:
    (run,) = [step["run"] for step in release_steps() if step.get("name", "").startswith(name)]
    return f"{run}\n"


# Approvals

HEAD, OLD = "a" * 40, "b" * 40


def review(who: str, state: str, commit: str = HEAD, at: int = 1, kind: str = "User") -> dict[str, Any]:
    return {
        "user": {"login": who, "type": kind},
        "state": state,
        "commit_id": commit,
        "submitted_at": f"2026-11-27T00:00:{at:02}Z",
    }


@pytest.mark.parametrize(
    ("reviews", "good"),
    [
        pytest.param([review("bo", "APPROVED")], True, id="one of another person"),
        pytest.param([], False, id="none"),
        pytest.param([review("ann", "APPROVED")], False, id="the author's own"),
        pytest.param([review("bot", "APPROVED", kind="Bot")], False, id="a bot's"),
        pytest.param([review("bo", "APPROVED", OLD)], False, id="of an older commit"),
        pytest.param(
            [review("bo", "APPROVED"), review("bo", "CHANGES_REQUESTED", at=2)], False, id="taken back"
        ),
        pytest.param([review("bo", "APPROVED"), review("bo", "DISMISSED", at=2)], False, id="dismissed"),
        pytest.param(
            [review("bo", "CHANGES_REQUESTED"), review("bo", "APPROVED", at=2)], True, id="given later"
        ),
        pytest.param(
            [review("bo", "APPROVED"), review("bo", "COMMENTED", at=2)], True, id="with a comment after"
        ),
        pytest.param(
            [review("bo", "APPROVED"), review("cy", "CHANGES_REQUESTED")], False, id="against another's no"
        ),
        pytest.param([{**review("bo", "APPROVED"), "user": None}], False, id="of a deleted account"),
    ],
)
def test_an_approval_counts(reviews: list[dict[str, Any]], good: bool) -> None:
    assert count(json.dumps([reviews[:1], reviews[1:]])) is good


@pytest.mark.parametrize("text", ["", "[", '{"message": "Not Found"}'], ids=["nothing", "half", "an error"])
def test_what_cannot_be_read_is_no_approval(text: str) -> None:
    assert count(text) is False


def count(text: str) -> bool:
    find("jq", "Debian: apt-get install jq")
    done = subprocess.run(
        [str(SCRIPTS / "count_approvals.sh"), HEAD, "ann", "1"],
        input=text, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    return done.returncode == 0


# Secrets


def check(folder: Path) -> tuple[int, str]:
    argv = [sys.executable, str(SCRIPTS / "check_secrets.py"), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


def test_our_own_chart_folder_has_no_plain_secret() -> None:
    assert check(ROOT / "infra" / "chart") == (0, "no secret in plain text\n")


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {b: plain-value}\n"

LISTED = json.dumps({"kind": "List", "items": [yaml.safe_load(SECRET)]})


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("secrets/a.yaml", "a: 1\n", "is in secrets/ and not encrypted"),
        ("templates/a.yaml", SECRET, "Secret a: b is in plain text"),
        ("a.yaml", LISTED, "Secret a: b is in plain text"),
        ("secrets/b.yaml", SECRET + "sops: {mac: x}\n", "Secret a: b is in plain text"),
        ("values.yaml", "mongodb: {auth: {rootPassword: hunter22}}\n", "mongodb.auth.rootPassword: a secret"),
        ("values.yaml", "mongodb: {auth: {passwords: [hunter22]}}\n", "mongodb.auth.passwords: a secret"),
        ("values.yaml", "license: abc.def\n", "license: a secret"),
        ("values.yaml", "extraEnv:\n- {name: A, value: 'mongodb://u:hunter22@h/db'}\n", "line 2: looks like"),
        ("templates/x.tpl", "{{ x }}\n-----BEGIN OPENSSH PRIVATE KEY-----\n", "line 2: looks like"),
        ("key.txt", "AGE-SECRET-KEY-1QQQQQQQQQQQQQ\n", "line 1: looks like"),
    ],
)  # fmt: skip
def test_a_plain_secret_is_found_and_not_printed(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    code, said = check(tmp_path)
    assert code == 1
    assert told in said
    assert "hunter22" not in said
    assert "plain-value" not in said


@pytest.mark.parametrize(
    "text",
    [
        "existingMongodbSecret: rocketchat-mongodb-uri\nsmtp: {existingSecret: mail}\n",
        "valueFrom: {secretKeyRef: {name: a, key: mongo-uri}}\n",
        "smtp_auth_password_file: /etc/secrets/smtp-password\n",
        "args: ['--mongodb.password=$(MONGODB_ROOT_PASSWORD)']\n",
        "auth: {rootPassword: ''}\n",
    ],
)
def test_a_reference_is_no_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "values.yaml").write_text(text)
    assert check(tmp_path)[0] == 0


# The deploy over SSH

STUB = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
*"merge-base --is-ancestor"*) exit "$MERGED" ;;
*"get manifest"*) echo "        image: \\"registry.rocket.chat/rocketchat/rocket.chat:$NOW\\"" ;;
*" template "*) echo "        image: \\"registry.rocket.chat/rocketchat/rocket.chat:$THEN\\"" ;;
esac
"""


@pytest.mark.parametrize(
    ("given", "commit", "told"),
    [
        pytest.param({}, HEAD, "", id="a merged commit of the same version"),
        pytest.param({"MERGED": "1"}, HEAD, "is not on main: only what was merged", id="not merged"),
        pytest.param({"THEN": "8.7.0"}, HEAD, "8.6.1 runs and", id="another version"),
        pytest.param(
            {"NOW": ""}, HEAD, "cannot be seen which version runs", id="a version that cannot be seen"
        ),
        pytest.param({}, "main; reboot", "is not a commit's 40 hexadecimal digits", id="no commit"),
    ],
)
def test_the_deploy_over_ssh(tmp_path: Path, given: dict[str, str], commit: str, told: str) -> None:
    for program in ("git", "microk8s"):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(STUB)
        path.chmod(0o755)
    settings = tmp_path / "etc/groundcrew/bootstrap.env"
    settings.parent.mkdir(parents=True)
    settings.write_text((ROOT / "infra/bootstrap/bootstrap.env").read_text())
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "BOOTSTRAP_ROOT": str(tmp_path),
        "LOG": str(tmp_path / "log"),
        "MERGED": "0",
        "NOW": "8.6.1",
        "THEN": "8.6.1",
        **given,
    }
    argv = [str(ROOT / "infra/bootstrap/deploy.sh"), commit]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=20, check=False)
    log = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
    assert (done.returncode == 0) is (told == ""), done.stderr
    assert told in done.stderr
    assert ("helm upgrade" in log) is (told == "")
