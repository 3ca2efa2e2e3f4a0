"""With all settings in place, what each job needs can be built: a renamed field would show here."""

from __future__ import annotations

import json
from pathlib import Path

from shared.formats.agekeys import generate_identity
from shared.formats.manifest import Signer
from tests.support.commands import run_python

ROOT = Path(__file__).resolve().parents[2]
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "abcdef"}}],
}
REPORT = "import json; from shared.wiring import jobs; print(json.dumps(dict(jobs.read_settings_report())))"


def _report(settings: dict[str, str]) -> dict[str, str]:
    done = run_python(REPORT, env={"PATH": "/usr/bin:/bin", **settings})
    assert done.returncode == 0, done.stderr
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


def _settings(tmp_path: Path) -> dict[str, str]:
    helm, policy = tmp_path / "helm", tmp_path / "policy.yaml"
    helm.write_text("#!/bin/sh\necho v4.3.1\n")
    helm.chmod(0o755)
    text = (ROOT / "policy.yaml").read_text()
    policy.write_text(text.replace("deploy:\n", "deploy:\n  repository: acme/chat\n"))
    signer = Signer.generate()
    return {
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "MONGODB_URI": "mongodb://127.0.0.1:1/?replicaSet=rs0",
        "GROUNDCREW_AGE_RECIPIENTS": generate_identity(post_quantum=False)[1],
        "GROUNDCREW_SIGNING_KEY": signer.secret_text(),
        "GROUNDCREW_TRUSTED_SIGNERS": signer.public_text(),
        "GROUNDCREW_POLICY": str(policy),
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
        "GROUNDCREW_URL": "https://groundcrew.example.org",
        "GROUNDCREW_GITHUB_TOKEN": "x",
        "GROUNDCREW_GITHUB_WEBHOOK_SECRETS": "0123456789abcdef0123456789abcdef",
        "GROUNDCREW_KUBECONFIG": json.dumps(KUBECONFIG),
        "GROUNDCREW_HELM": str(helm),
        "GROUNDCREW_CHAT": "https://chat.example.org",
        "GROUNDCREW_NOTIFY_URLS": "chat=json://127.0.0.1:1 oncall=json://127.0.0.1:1",
    }


def test_with_all_settings_every_job_can_be_built(tmp_path: Path) -> None:
    report = _report(_settings(tmp_path))
    assert {job for job, problem in report.items() if problem != "ok"} == set(), report
    assert {"backup", "deploys", "power", "snapshots", "cost", "pages"} <= set(report)


def test_each_job_names_what_it_lacks_and_no_other_job_suffers(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    for name in ("GROUNDCREW_KUBECONFIG", "GROUNDCREW_GITHUB_WEBHOOK_SECRETS"):
        report = _report({key: value for key, value in settings.items() if key != name})
        assert name in report["deploys"]
        assert report["backup"] == "ok"
    report = _report({key: value for key, value in settings.items() if key != "MONGODB_URI"})
    assert "MONGODB_URI" in report["backup"]
    assert report["deploys"] == "ok"


TIMERS = """
import json
from shared.wiring import cost, power, snapshots
from shared.kernel.errors import UsageError
def run(job):
    try:
        return job()
    except UsageError as error:
        return f"failed: {error}"
print(json.dumps([run(job) for job in (power.run_tick, snapshots.run_cycle, cost.run_report)]))
"""


def _run_timers(policy: Path, **settings: str) -> list[str]:
    done = run_python(TIMERS, env={"PATH": "/usr/bin:/bin", "GROUNDCREW_POLICY": str(policy), **settings})
    assert done.returncode == 0, done.stderr
    answer: list[str] = json.loads(done.stdout)
    return answer


def test_what_nobody_asked_for_does_not_fail_every_five_minutes(tmp_path: Path) -> None:
    """A fresh app has no subscription and a policy without machines: nothing to do is no failure."""
    answers = _run_timers(ROOT / "policy.yaml", AzureWebJobsStorage="UseDevelopmentStorage=true")
    idle = "policy names no machine"
    assert answers == [idle, "no snapshots: policy chooses no disks", f"no report: {idle}"]


def test_what_policy_asks_for_fails_without_a_subscription(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    machine = "{ name: chat, windows: ['Mon-Fri 07:00-19:00'] }"
    policy.write_text(f"power: {{ machines: [{machine}] }}\nsnapshots: {{ disks: groundcrew=snapshot }}\n")
    answers = _run_timers(policy, AzureWebJobsStorage="UseDevelopmentStorage=true")
    assert ["AZURE_SUBSCRIPTION_ID is not set" in one for one in answers] == [True, True, True], answers
