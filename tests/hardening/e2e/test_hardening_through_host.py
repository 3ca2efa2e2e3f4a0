"""The app in its host audits a chat's database; the command line finds what got weaker, and plans a fix."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
import requests

from local.azurite import EmulatedAccount
from local.host.process import HostProcess
from local.mongodb import MongoServer
from local.rocketchat.rest import ChatUser, RestServer
from local.rocketchat.rest.state import DEFAULTS
from local.stack import ROOT
from shared.adapters.blobs import create_container, open_blobs
from shared.formats.agekeys import generate_identity
from shared.formats.manifest import Signer
from shared.hardening.records import load_last_audit
from shared.settings.storage_account import StorageAccount
from tests.support.commands import run_groundcrew
from tests.support.runbooks import RunbookShell, StandInTools, read_runbook

pytestmark = pytest.mark.timeout(240)


@dataclass
class Site:
    host: HostProcess
    storage: StorageAccount
    settings: dict[str, str]
    database: Any
    chat: RestServer

    def cli(self, *arguments: str, code: int = 0, command: str = "hardening") -> Any:
        done = run_groundcrew(command, *arguments, "--json", env={**os.environ, **self.settings})
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def site(tmp_path: Path, take_account: Callable[[], EmulatedAccount]) -> Iterator[Site]:
    with ExitStack() as stack:
        account = take_account()
        storage = StorageAccount.by_connection_string(account.connection_string)
        for name in ("backups", "groundcrew"):
            create_container(storage, name)
        mongodb = stack.enter_context(MongoServer(tmp_path / "mongodb"))
        client = stack.enter_context(pymongo.MongoClient[dict[str, Any]](mongodb.uri, directConnection=True))
        database = client["rocketchat"]
        database["rocketchat_settings"].insert_many(
            [{"_id": name, "value": value} for name, value in DEFAULTS.items()]
        )
        factor = {"totp": {"enabled": True}}
        admin = {"_id": "a", "username": "anna", "roles": ["admin"], "lastLogin": datetime.now(UTC)}
        database["users"].insert_one({**admin, "services": factor})
        chat = stack.enter_context(RestServer())
        user = chat.state.add_user(ChatUser("a", "anna", ["admin"]))
        probe = chat.state.add_user(ChatUser("p", "groundcrew-probe"))
        chat.rooms.add_room("probes", "p")
        (tmp_path / "policy.yaml").write_text(
            "hardening: {enabled: true}\nprobes: {enabled: true, channel: probes}\n"
        )
        settings = {
            "AzureWebJobsStorage": account.connection_string,
            "GROUNDCREW_POLICY": str(tmp_path / "policy.yaml"),
            "MONGODB_URI": f"{mongodb.uri}?directConnection=true",
            "GROUNDCREW_CHAT": chat.url,
            "GROUNDCREW_ROCKETCHAT_USER": "a",
            "GROUNDCREW_ROCKETCHAT_USER_TOKEN": chat.state.add_token(user, "hardening"),
            "GROUNDCREW_PROBE_USER": "p",
            "GROUNDCREW_PROBE_TOKEN": chat.state.add_token(probe, "probes"),
            "GROUNDCREW_AGE_RECIPIENTS": generate_identity(post_quantum=False)[1],
            "GROUNDCREW_SIGNING_KEY": Signer.generate().secret_text(),
        }
        host = stack.enter_context(HostProcess(ROOT, settings, tmp_path / "host", log_format="json"))
        yield Site(host, storage, settings, database, chat)


def test_a_weak_server_is_audited_and_what_changes_then_is_drift(site: Site, tmp_path: Path) -> None:
    answer = requests.post(
        f"{site.host.url}/admin/functions/hardening_audit",
        json={"input": ""}, headers={"x-functions-key": site.host.master_key}, timeout=20,
    )  # fmt: skip
    assert answer.status_code == 202
    state, deadline = open_blobs(site.storage, "groundcrew"), time.monotonic() + 120
    while (audit := load_last_audit(state)) is None:
        assert time.monotonic() < deadline, (site.host.state_dir / "host.log").read_text()[-3000:]
        time.sleep(0.2)
    assert "chat.registration" in [one.id for one in audit.open]
    assert audit.by_id["admins.two-factor/anna"].verdict == "met"

    change = {"$set": {"value": False, "_updatedAt": datetime.now(UTC)}}
    site.database["rocketchat_settings"].update_one({"_id": "Enable_CSP"}, change)
    found = {one["rule"]: one for one in site.cli("audit", code=1)}
    assert found["chat.csp"]["drifted"] is True
    assert found["chat.csp"]["changed"].endswith("by whom is not known")
    assert found["chat.registration"]["drifted"] is False
    plan = site.cli("plan", "chat.csp")
    assert plan == [{"rule": "chat.csp", "setting": "Enable_CSP", "before": False, "after": True}]
    refused = site.cli("apply", "chat.csp", "--yes", code=1)
    assert refused["error"]["message"].startswith("a second person has to approve")
    assert site.chat.calls == []  # nothing is asked of the chat before somebody else agreed

    # docs/runbooks/hardening.md, word for word, by somebody who is not at a terminal.
    with StandInTools(tmp_path / "bin", {}) as tools:
        shell = RunbookShell(tmp_path, tools, site.settings)
        first_look, set_right = read_runbook("hardening.md")
        assert "chat.registration" in shell.follow(first_look, fails=True)
        told = shell.follow(set_right, fails=True)
    assert "would set Enable_CSP" in told
    assert "a second person has to approve" in told or "There is nobody to ask" in told
    assert site.chat.calls == []
    _probe(site)


def _probe(site: Site) -> None:
    """The same server as people use it: a look, a way to sign in that is gone, what is shown of it."""
    site.chat.rooms.services = ["keycloak"]
    site.chat.rooms.public["Cloud_Workspace_AirGapped_Restrictions_Remaining_Days"] = -1
    seen = site.cli("run", command="probes")
    assert {one["name"]: one["status"] for one in seen["outcomes"]} == dict.fromkeys(
        ("sign-in", "read-only", "message", "upload", "integrations"), "ok"
    )
    assert "over the realtime stream" in seen["outcomes"][2]["reason"]
    assert (site.chat.rooms.messages, site.chat.rooms.files) == ({}, {})
    site.chat.rooms.services = []
    assert site.cli("run", command="probes", code=1)["outcomes"][0]["reason"].startswith("keycloak is not")
    assert site.cli("show", command="probes", code=1)["outcomes"][0]["status"] == "failed"
