"""The app's functions as the platform calls them: through Microsoft's worker library, in its own process."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from functools import partial
from pathlib import Path

import pytest

from local.azurite import Azurite
from local.worker_calls import ROOT, FunctionCall, run_worker
from shared.adapters.blobs import create_container, open_blobs
from shared.deploy.records.deploys import DeployStore
from shared.settings.storage_account import StorageAccount
from shared.wiring import system_clock
from tests.support.commands import shared_forks

# That each call imports what it needs is seen by the last test, and by tests/local/test_package.py.
run_forked = partial(run_worker, forks=shared_forks())
SECRET = "0123456789abcdef0123456789abcdef"
MERGED = {
    "action": "closed",
    "repository": {"full_name": "acme/chat"},
    "pull_request": {
        "merged": True,
        "number": 7,
        "merge_commit_sha": "a" * 40,
        "base": {"ref": "main", "repo": {"full_name": "acme/chat"}},
    },
}
REQUEST = {
    "repository": "acme/chat",
    "sha": "a" * 40,
    "environment": "production",
    "pull": 7,
    "delivery": "d-1",
}


def signed(payload: object = MERGED) -> FunctionCall:
    body = json.dumps(payload)
    signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": "d-1",
    }
    return FunctionCall("github_webhook", "http", "POST", "/api/github/webhook", body, headers)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Deploys are on, and nothing that they need is set."""
    policy = tmp_path / "policy.yaml"
    text = (ROOT / "policy.yaml").read_text()
    policy.write_text(text.replace("deploy:\n", "deploy:\n  repository: acme/chat\n"))
    return {"GROUNDCREW_POLICY": str(policy), "GROUNDCREW_GITHUB_WEBHOOK_SECRETS": SECRET}


def test_a_signed_webhook_is_refused_with_the_reason_while_there_is_no_storage(settings) -> None:
    (answer,) = run_forked(settings, [signed()])
    assert (answer.ok, answer.status) == (True, 503)
    assert "AzureWebJobsStorage is not set" in answer.body
    (line,) = answer.logged("functions.deploy")
    assert line.startswith("github_webhook.refused {")


def test_a_signed_webhook_is_refused_with_the_reason_while_the_policy_is_wrong(settings) -> None:
    Path(settings["GROUNDCREW_POLICY"]).write_text("deploy: [hush]\n")
    (answer,) = run_forked({**settings, "AzureWebJobsStorage": "UseDevelopmentStorage=true"}, [signed()])
    assert answer.status == 503
    assert "policy.yaml" in answer.body
    assert "hush" not in answer.body


def test_a_merge_that_cannot_begin_is_on_record_and_the_message_is_done(settings, azurite: Azurite) -> None:
    account = StorageAccount.by_connection_string(azurite.connection_string)
    create_container(account, "groundcrew")
    settings["AzureWebJobsStorage"] = azurite.connection_string
    calls = [
        signed(),
        FunctionCall("deploy_run", "queue", body=json.dumps([REQUEST])),
        FunctionCall("catch_up", "timer"),
    ]
    accepted, ran, caught_up = run_forked(settings, calls)
    assert accepted.status == 202
    assert (ran.ok, ran.error) == (True, "")
    (record,) = DeployStore(open_blobs(account, "groundcrew"), system_clock()).list_open()
    assert record.request.pull == 7
    assert "GROUNDCREW_GITHUB_TOKEN" in record.progress.reason or "settings" in record.progress.reason
    # Nobody is set to be notified, which the log says.
    assert any("deploys cannot run" in line for line in ran.logged("shared.wiring.notifications"))
    assert not caught_up.ok
    assert any('"job": "deploys"' in line for line in caught_up.logged("shared.catch_up.watch"))


def test_a_timer_whose_settings_are_missing_fails_by_name(settings) -> None:
    asked = {**settings, "AZURE_SUBSCRIPTION_ID": "1"}
    for answer in run_forked(
        asked, [FunctionCall("power_tick", "timer"), FunctionCall("nightly_backup", "timer")]
    ):
        assert not answer.ok
        assert "is not set" in answer.error


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_anybody_may_ask_whether_the_app_is_alive_and_learns_no_more(method: str) -> None:
    (answer,) = run_forked({"MONGODB_URI": "mongodb://192.0.2.1"}, [FunctionCall("health", "http", method)])
    assert answer.status == 200
    assert answer.body == ("" if method == "HEAD" else '{"status": "alive"}')
    assert answer.seconds < 1


def test_the_health_report_names_what_is_missing(settings) -> None:
    # What a busy machine has not heard within its seconds is heard by another worker.
    for _ in range(5):
        (answer,) = run_forked(settings, [FunctionCall("health_report", "http")])
        assert answer.status == 503
        if "no answer within" not in answer.body:
            break
    checks = json.loads(answer.body)["checks"]
    assert "AzureWebJobsStorage" in checks["storage"]["message"]
    assert "GROUNDCREW_KUBECONFIG" in checks["cluster"]["message"]


VM = "/subscriptions/1/resourceGroups/chat/providers/Microsoft.Compute/virtualMachines/rocketchat"
OF_EVENT_GRID = {
    "id": "1",
    "topic": "/subscriptions/1",
    "subject": VM,
    "data": {},
    "dataVersion": "2",
    "eventType": "Microsoft.Resources.ResourceActionSuccess",
    "eventTime": "2026-11-27T00:00:00Z",
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/subscriptions/1",
    "subject": VM,
    "data": {},
    "type": "Microsoft.Resources.ResourceActionSuccess",
    "time": "2026-11-27T00:00:00Z",
}


@pytest.mark.parametrize("event", [OF_EVENT_GRID, CLOUD_EVENT], ids=["Event Grid's schema", "CloudEvents"])
def test_an_event_of_either_schema_is_handled(
    event: dict[str, object], tmp_path: Path, azurite: Azurite
) -> None:
    (tmp_path / "policy.yaml").write_text("timezone: UTC\n")
    create_container(StorageAccount.by_connection_string(azurite.connection_string), "groundcrew")
    settings = {
        "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
        "AzureWebJobsStorage": azurite.connection_string,
        "AZURE_SUBSCRIPTION_ID": "1",
        "GROUNDCREW_RESOURCE_MANAGER": "http://127.0.0.1:9",
        "GROUNDCREW_RESOURCE_MANAGER_TOKEN": "x",
    }
    (answer,) = run_forked(settings, [FunctionCall("on_vm_event", "event", body=json.dumps(event))])
    assert (answer.ok, answer.error) == (True, "")
    (line,) = answer.logged("functions.power")
    assert json.loads(line.partition(" ")[2])["subject"] == VM


def test_the_status_page_is_closed_and_the_report_says_what_cannot_be_read(settings) -> None:
    calls = [
        FunctionCall("status", "http"),
        FunctionCall("status_report", "http"),
        FunctionCall("badge", "http"),
    ]
    page, report, badge = run_forked(settings, calls)
    assert page.status == 401
    assert json.loads(report.body)["verdict"]["level"] == "unknown"
    # The shipped policy has no machine.
    assert badge.status == 404


TOKEN = "0123456789abcdef-metrics"


def test_the_metrics_are_closed_without_their_token_and_to_any_other(settings) -> None:
    call = FunctionCall("metrics", "http", headers={"Authorization": f"Bearer {TOKEN}"})
    other = FunctionCall("metrics", "http", headers={"Authorization": "Bearer 0123456789abcdef-another"})
    for environment in (settings, {**settings, "GROUNDCREW_METRICS_TOKEN": "short"}):
        assert [
            answer.status for answer in run_forked(environment, [call, FunctionCall("metrics", "http")])
        ] == [
            401,
            401,
        ]
    open_to_one = {**settings, "GROUNDCREW_METRICS_TOKEN": TOKEN}
    assert [answer.status for answer in run_forked(open_to_one, [call, other])] == [200, 401]


def test_the_metrics_say_which_part_cannot_be_read_while_there_is_no_storage(settings) -> None:
    call = FunctionCall(
        "metrics", "http", headers={"Authorization": f"Bearer {TOKEN}", "Accept": "text/plain;version=0.0.4"}
    )
    (answer,) = run_forked({**settings, "GROUNDCREW_METRICS_TOKEN": TOKEN}, [call])
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'groundcrew_collector_success{collector="deploy"} 0.0' in answer.body
    assert "groundcrew_deploy_drifted_objects" not in answer.body


@pytest.mark.parametrize("schema", ["Event Grid's schema", "CloudEvents"])
def test_an_event_of_a_vault_in_either_schema_is_a_hint_to_look(schema: str, tmp_path: Path) -> None:
    # https://learn.microsoft.com/azure/event-grid/event-schema-key-vault
    data = {"Id": "https://kv.vault.azure.net/certificates/chat/1", "VaultName": "kv", "ObjectName": "chat"}
    common = {"id": "1", "subject": "chat", "data": data}
    kind, time = "Microsoft.KeyVault.CertificateNearExpiry", "2026-11-27T00:00:00Z"
    topic = "/subscriptions/1/resourceGroups/chat/providers/Microsoft.KeyVault/vaults/kv"
    of_event_grid = {**common, "topic": topic, "eventType": kind, "eventTime": time, "dataVersion": "1"}
    cloud_event = {**common, "specversion": "1.0", "source": topic, "type": kind, "time": time}
    event = of_event_grid if schema == "Event Grid's schema" else cloud_event
    (tmp_path / "policy.yaml").write_text("timezone: UTC\n")
    settings = {"GROUNDCREW_POLICY": str(tmp_path / "policy.yaml")}
    (answer,) = run_forked(settings, [FunctionCall("on_vault_event", "event", body=json.dumps(event))])
    assert (answer.ok, answer.error) == (True, "")
    (line,) = answer.logged("functions.certificates")
    told = json.loads(line.partition(" ")[2])
    assert (told["event"], told["subject"], told["done"]) == (kind, "chat", "no certificates are watched")
    kind = "Microsoft.KeyVault.SecretNearExpiry"
    event["type" if schema == "CloudEvents" else "eventType"] = kind
    (answer,) = run_forked(settings, [FunctionCall("on_vault_event", "event", body=json.dumps(event))])
    assert (answer.ok, answer.error) == (True, "")
    (line,) = answer.logged("functions.certificates")
    told = json.loads(line.partition(" ")[2])
    assert (told["event"], told["done"]) == (kind, "policy knows no secrets")


# Of each function what it answers where nothing but storage is set up: to a stranger with neither key, token
# nor signature its status; to a timer, a message or an event nothing, or the reason why it failed.
WHERE_NOTHING_IS_SET_UP: dict[str, int | str] = {
    "alerts": 503, "badge": 404, "calendar_feed": 401, "calendar_page": 401, "chatops": 503,
    "chatops_answer": 401, "chatops_signed_in": 503, "deploy_page": 401, "doctor": 503, "github_webhook": 503,
    "health": 200, "health_page": 401, "health_report": 503, "metrics": 401, "status": 401,
    "status_report": 200, "tick": 500, "wake": 401,
    "certificate_scan": "", "cost_report": "", "drift_check": "", "hardening_audit": "",
    "lockout_calendar": "", "power_tick": "", "rehearsal_run": "", "restore_drill": "",
    "secrets_rotation": "", "snapshot_cycle": "",
    "send_notifications": "", "on_vault_event": "",
    "backup_part": "MONGODB_URI is not set",
    "catch_up": "failed: settings, backup, oplog, retention",
    "chat_command": "moved to the queue chat-commands-poison",
    "deploy_run": "no repository and commit",
    "nightly_backup": "MONGODB_URI is not set",
    "on_vm_event": "AZURE_SUBSCRIPTION_ID is not set",
    "oplog_capture": "MONGODB_URI is not set",
    "retention": "no signer of backups is trusted",
}  # fmt: skip
KINDS = {"timer": "timer", "req": "http", "message": "queue", "event": "event"}


def list_functions() -> dict[str, str]:
    """The kind of each function of the app, by its name."""
    source = "".join(path.read_text() for path in sorted((ROOT / "functions").glob("*.py")))
    found = re.findall(r"(?m)^(?:async )?def ([a-z]\w*)\((timer|req|message|event): func", source)
    return {name: KINDS[argument] for name, argument in found}


def test_every_function_answers_where_nothing_is_set_up_but_storage(tmp_path: Path, azurite: Azurite) -> None:
    (tmp_path / "policy.yaml").write_text("timezone: UTC\n")
    create_container(StorageAccount.by_connection_string(azurite.connection_string), "groundcrew")
    settings = {
        "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
        "AzureWebJobsStorage": azurite.connection_string,
    }
    functions, bodies = list_functions(), {"event": json.dumps(CLOUD_EVENT), "queue": "{}"}
    assert functions.keys() == WHERE_NOTHING_IS_SET_UP.keys(), "a new function stands in the table"
    calls = [FunctionCall(name, kind, body=bodies.get(kind, "")) for name, kind in functions.items()]
    for call, answer in zip(calls, run_worker(settings, calls), strict=True):
        expected = WHERE_NOTHING_IS_SET_UP[call.function]
        if isinstance(expected, int):
            assert (answer.ok, answer.status) == (True, expected), call.function
            assert "Traceback" not in answer.body
        else:
            assert answer.ok is (not expected), call.function
            assert expected in answer.error
