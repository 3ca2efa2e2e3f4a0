"""The main job through the real host, Azurite and MongoDB's protocol, and the command line beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import zstandard
from azure.storage.queue import QueueClient

from local import compare
from local.mongodb import MongoServer
from local.stack import ROOT
from shared.adapters.blobs import open_blobs
from shared.backup import sets
from shared.backup.catalogue import SetState
from shared.formats import age
from shared.formats.agekeys import parse_identities
from shared.formats.backupset import SetFailure
from shared.formats.manifest import Signer
from shared.formats.strict_json import FORMAT
from shared.settings.environment import parse_storage_account
from tests.support.archive import read_by_description
from tests.support.runbooks import (
    RunbookBlock,
    RunbookShell,
    StandInTools,
    answers_of_stack,
    read_runbook,
)
from tests.support.signed_sets import put_failed

# Runbooks are followed by many processes of the command line, one after the other.
pytestmark = pytest.mark.timeout(300)


def _names(server) -> list[str]:
    return [n.name for n in server.list_namespaces() if n.db != "admin"]


@pytest.fixture(scope="module")
def tools(app, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInTools]:
    with StandInTools(tmp_path_factory.mktemp("bin"), answers_of_stack(app.stack)) as tools:
        yield tools


@pytest.fixture(scope="module")
def after_a_failed_night(app, wait, tools, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """`backup-failed.md` from its first line to its last: what each of its blocks prints."""
    signer = Signer.parse(app.stack.settings["GROUNDCREW_SIGNING_KEY"])
    failed = put_failed(app.backups, datetime.now(UTC) - timedelta(hours=3), signer=signer)
    host = app.stack.host.url
    poison = "backup-parts-poison"
    queue = QueueClient.from_connection_string(app.stack.account.connection_string, poison)
    queue.create_queue()
    queue.send_message("eyJzZXQiOiAiZGFpbHkvMSIsICJwYXJ0IjogMH0=")
    shell = RunbookShell(
        tmp_path_factory.mktemp("home"), tools, dict(app.stack.settings),
        {
            "https://APP.azurewebsites.net": host, "APP": "func-crew", "GROUP": "rg-crew", "VM": "vm-crew",
            "ACCOUNT": "stcrew", "HOST_ACCOUNT": "stcrew", "SET": failed.split("/")[2],
            # The settings of this world name the same account by a connection string.
            "export AzureWebJobsStorage__accountName=HOST_ACCOUNT": "true", '"$URI"': "mongodb://crew",
        },
    )  # fmt: skip
    said = [shell.follow(block) for block in read_runbook("backup-failed.md")]
    assert queue.peek_messages(5) == []
    queue.delete_queue()
    wait(lambda: [s for s in app.sealed() if s.klass != "manual"], "a sealed set")
    end = "groundcrew backups verify latest"  # as the runbook's last sentence has it
    assert f"`{end}`" in (ROOT / "docs" / "runbooks" / "backup-failed.md").read_text()
    return [*said, shell.follow(RunbookBlock("", end))]


@pytest.fixture(scope="module")
def sealed(app, after_a_failed_night) -> sets.SetInfo:
    """Tonight's set, made by the timer's function and the queue's, which a person had run."""
    return next(s for s in app.sealed() if s.klass != "manual")


def test_the_runbook_for_a_failed_backup_leads_to_a_new_set(after_a_failed_night, sealed) -> None:
    prelude, look, tick, begun, machine, oplog, storage, poison, cleared, verified = after_a_failed_night
    assert '"checks"' in look
    assert "Reason: the oplog overflowed" in look
    assert "backup" in json.loads(tick)["done"]
    assert begun == "202\n"
    assert machine.startswith("VM running\n")
    assert "mongodb-0" in machine
    assert oplog.splitlines()[-1] == "{ ok: 1 }"
    assert {"backups", "groundcrew"} <= {*storage.split()}
    assert base64.b64decode(json.loads(poison)[0]["content"]) == b'{"set": "daily/1", "part": 0}'
    assert (prelude, cleared) == ("", "null")
    assert "1 sets verified" in verified


def test_tonights_set_has_several_parts_and_lists_every_namespace(app, sealed) -> None:
    shown = app.cli("backups", "show", sealed.id, "--json")
    with app.source as source:
        names = {n.name for n in source.list_namespaces()}
    assert {f"{n['db']}.{n['collection']}" for n in shown["namespaces"]} == names
    assert len(shown["parts"]) > 2
    assert app.cli("backups", "list", "--json")[0]["set"] == sealed.id
    assert sealed.id in app.cli("backups", "list")


def test_stock_tools_open_a_part_and_a_reader_from_the_description_finds_the_documents(app, sealed) -> None:
    shown = app.cli("backups", "show", sealed.id, "--json")
    identities = parse_identities(app.stack.identity.read_text())
    found: dict[str, int] = {}
    for part in shown["parts"]:
        stored = b"".join(app.backups.stream(sealed.folder + part["blob"]))
        if age_command := shutil.which("age"):
            argv = [age_command, "--decrypt", "--identity", str(app.stack.identity)]
            compressed = subprocess.run(
                argv, input=stored, capture_output=True, check=True, timeout=60
            ).stdout
        else:
            compressed = b"".join(age.decrypt(iter([stored]), identities, name="part"))
        archive = zstandard.ZstdDecompressor().decompressobj().decompress(compressed)
        for (db, collection), documents in read_by_description(archive).items():
            found[f"{db}.{collection}"] = found.get(f"{db}.{collection}", 0) + len(documents)
    assert found.pop(".oplog") == shown["oplog"]["entries"]
    assert found == {f"{n['db']}.{n['collection']}": n["documents"] for n in shown["namespaces"]}


def test_verify_reads_every_document_and_is_content(app, sealed) -> None:
    answer = app.cli("backups", "verify", sealed.id, "--identity", str(app.stack.identity), "--json")
    assert (answer["problems"], answer["depth"], answer["trusted"]) == ([], "every document", True)


def test_without_a_trusted_signer_every_verdict_says_so(app, sealed) -> None:
    arguments = ("backups", "verify", sealed.id, "--no-chain")
    answer = app.cli(*arguments, "--json", GROUNDCREW_TRUSTED_SIGNERS="")
    assert (answer["problems"], answer["trusted"]) == ([], False)
    told = app.cli(*arguments, GROUNDCREW_TRUSTED_SIGNERS="")
    assert "1 sets verified (signer unknown): every stored byte" in told
    assert "(signer unknown)" not in app.cli(*arguments)
    shown = ("backups", "show", sealed.id)
    assert app.cli(*shown, "--json", GROUNDCREW_TRUSTED_SIGNERS="")["trusted"] is False
    assert "(signer unknown)" in app.cli(*shown, GROUNDCREW_TRUSTED_SIGNERS="")
    assert app.cli(*shown, "--json")["trusted"] is True


def test_the_database_that_the_move_to_aks_restores_equals_the_source(
    app, sealed, target, tools, read, tmp_path: Path
) -> None:
    (tmp_path / "recovery.agekey").write_text(app.stack.identity.read_text())
    (tmp_path / "new.uri").write_text(target.uri)
    shell = RunbookShell(tmp_path, tools, dict(app.stack.settings))
    *blocks, chat = read_runbook("move-to-aks.md")
    assert chat.script.lstrip().startswith("curl --resolve chat.example.org:443:NEW_ADDRESS")
    told = shell.follow(*blocks)
    assert "PROVEN:" in told and "NOT PROVEN" not in told and "(signer unknown)" not in told
    assert "namespaces" in told
    with app.source as source, read(target.uri) as restored:
        found = compare.compare_databases(source, restored)
    assert not found.different
    assert found.equal > 80
    # A second time it is refused, since the target is no longer empty.
    again = app.cli("restore", sealed.id, "--to-uri", target.uri, "-i", str(app.stack.identity), code=1)
    assert "not empty" in again


def test_one_collection_can_be_restored_alone_with_no_secret_among_the_arguments(
    app, sealed, target, read, tmp_path: Path
) -> None:
    (tmp_path / "uri").write_text(target.uri)
    (tmp_path / "storage").write_text(app.stack.settings["AzureWebJobsStorage"])
    told = app.cli(
        "restore", "latest", "--to-uri", f"@{tmp_path / 'uri'}", "--storage", f"@{tmp_path / 'storage'}",
        "-i", str(app.stack.identity), "--only", "rocketchat.rocketchat_message",
        AzureWebJobsStorage="", GROUNDCREW_TRUSTED_SIGNERS="",
    )  # fmt: skip
    assert "PROVEN (signer unknown): 1 of 1 namespaces equal" in told
    with read(target.uri) as restored:
        assert _names(restored) == ["rocketchat.rocketchat_message"]


def test_the_commands_of_the_restore_runbook_do_what_it_says(
    app, sealed, target, tools, read, tmp_path: Path
) -> None:
    (tmp_path / "recovery.agekey").write_text(app.stack.identity.read_text())
    (tmp_path / "target.uri").write_text(target.uri)
    erased = "7vGkYm3qXn2Zr5TdW"  # nobody's
    shell = RunbookShell(tmp_path, tools, dict(app.stack.settings), {"NAME": "rocketchat", "ID": erased})
    blocks = {block.script.split("\n")[0].strip(): block for block in read_runbook("restore.md")}
    # The first installs the tools, which `make wheel` does in a test of its own; the second goes on with a
    # restore that broke off, as `tests/restore/test_resume.py` does at each step.
    del blocks["python3 -m venv ~/gc"]
    (resume,) = [first for first in blocks if first.endswith("--resume")]
    del blocks[resume]
    with MongoServer(tmp_path / "scratch", ttl_monitor=False) as scratch:
        (tmp_path / "scratch.uri").write_text(scratch.uri)
        said = {first: shell.follow(block) for first, block in blocks.items()}
        with read(scratch.uri) as restored:
            names = {n.removeprefix("rocketchat.rocketchat_") for n in _names(restored)}
    assert names == {"message", "uploads", "uploads.files", "uploads.chunks"}
    assert sum("PROVEN:" in text and "NOT PROVEN" not in text for text in said.values()) == 3
    (rehearsed,) = [text for first, text in said.items() if first.endswith("--dry-run")]
    assert "is empty" in rehearsed
    assert "expected duration: at least about" in rehearsed
    assert "sealed" in said["groundcrew backups create --wait"]
    assert erased in said["groundcrew erasures add user ID"]
    kubectl = [" ".join(call[1:]) for call in tools.calls if call[0] == "kubectl"]
    assert "-n rocketchat scale deployment rocketchat --replicas=0" in kubectl


@pytest.fixture
def left_as_it_was(app) -> Iterator[None]:
    """Sets by hand, their seals and notes of key drills that a test makes are gone after it."""
    account = parse_storage_account(app.stack.settings["AzureWebJobsStorage"])
    containers = [app.backups, open_blobs(account, "groundcrew")]
    before = [{blob.name for blob in each.list()} for each in containers]
    yield
    for container, names in zip(containers, before, strict=True):
        for blob in [each.name for each in container.list() if each.name not in names]:
            if blob.startswith(("sets/manual/", "seals/", "keys/")):
                container.delete(blob)


@pytest.mark.usefixtures("left_as_it_was")
def test_the_runbook_for_keys_leads_to_backups_by_the_new_ones(
    app, sealed, target, tools, tmp_path: Path
) -> None:
    changed: dict[str, str] = {}
    tools.answers["az storage account keys renew"] = lambda options: [{"keyName": options["--key"]}]
    tools.answers["az functionapp config appsettings set"] = lambda options: changed.update(
        [options["--settings"].split("=", 1)]
    )
    home, old = tmp_path, app.stack.settings["GROUNDCREW_TRUSTED_SIGNERS"]
    (home / "old.agekey").write_text(app.stack.identity.read_text())
    (home / "recovery.agekey").write_text(app.stack.identity.read_text())
    (home / "empty.uri").write_text(target.uri)
    names = {
        "SET": sealed.id,
        "OLD": old,
        "KEYFILE": "~/old.agekey",
        "GROUP": "rg",
        "APP": "func",
        "ACCOUNT": "st",
    }
    shell = RunbookShell(home, tools, dict(app.stack.settings), names)
    steps = read_runbook("lost-or-leaked-key.md")
    drill, look, generate, setting, verify, rewrap, slices, renew, signing, by_hand = steps

    assert "keys open all" in shell.follow(drill)
    told = shell.follow(look)
    assert old in told
    assert "is empty" in told

    (home / "recovery.agekey").unlink()  # that is the one that was lost
    shell.follow(generate)
    (recipient,) = re.findall(r"age1\w+", (home / "recovery.agekey").read_text())
    names["age1…,age1…"] = recipient
    shell.follow(setting)
    assert changed == {"GROUNDCREW_AGE_RECIPIENTS": recipient}
    app.cli("backups", "create", "--here", **changed)
    assert "1 sets verified: every document, and the chain" in shell.follow(verify)
    assert "not encrypted to the key given" in shell.follow(look, fails=True)
    names["NEWPUBLIC"] = recipient
    told = shell.follow(rewrap)
    assert "rewrapped" in told
    assert "1 sets verified: every document, and the chain" in told
    assert re.search(r"^pitr/\d{4}/\d\d/\d\d: rewrapped|there is no slice", shell.follow(slices), re.M)
    assert json.loads(shell.follow(renew)) == [{"keyName": "primary"}]

    shell.follow(signing)
    public, secret = (line.split()[-1] for line in (home / "groundcrew.signkey").read_text().splitlines()[:2])
    changed |= {"GROUNDCREW_SIGNING_KEY": secret, "GROUNDCREW_TRUSTED_SIGNERS": f"{public},{old}"}
    shell.settings["GROUNDCREW_TRUSTED_SIGNERS"] = public  # the old one leaked
    app.cli("backups", "create", "--here", **changed)
    assert "1 sets verified" in shell.follow(by_hand)
    assert app.cli("backups", "show", "latest", "--json", **changed)["signer"] == public


def test_the_source_is_refused_as_a_target(app, sealed) -> None:
    told = app.cli(
        "restore", "latest", "--to-uri", app.stack.mongodb_uri, "-i", str(app.stack.identity),
        "--into-non-empty", code=1,
    )  # fmt: skip
    assert "the target is the database that was backed up" in told


def test_a_dry_run_says_what_would_be_done(app, sealed, target, read) -> None:
    arguments = ("restore", "latest", "--to-uri", target.uri, "--dry-run")
    assert "is empty" in app.cli(*arguments)
    with read(target.uri) as untouched:
        assert _names(untouched) == []


def test_a_laptop_makes_a_backup_without_the_host(app) -> None:
    answer = app.cli("backups", "create", "--here", "--json")
    assert answer["state"] == "sealed"
    assert "/manual/" in answer["set"]


def test_the_runbook_for_a_lost_account_brings_sets_elsewhere(app, sealed, tools, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    placeholders = {"ACCOUNT": "stcrew", "GROUP": "rg", "VERSION": "01D9", "DIRECTORY": str(elsewhere)}
    tools.answers["az storage container restore"] = lambda options: {"container": options["--name"]}
    tools.answers["az storage account failover"] = lambda _: None
    synced = {"geoReplicationStats": {"lastSyncTime": "2026-11-23T01:00:00+00:00"}}
    tools.answers["az storage account show"] = lambda _: synced
    shell = RunbookShell(tmp_path, tools, dict(app.stack.settings), placeholders)
    assert "2026-11-23T01:00:00" in shell.follow(*read_runbook("lost-account-or-region.md"))
    blob = f"{sealed.folder}{sets.MANIFEST}"
    assert (elsewhere / blob).read_bytes() == app.backups.read(blob)[0]


@pytest.fixture
def doomed(app) -> Iterator[str]:
    """Whatever set is begun by hand within the next two minutes has failed already; gives the reason."""
    reason = "the oplog [of rs0] overflowed"
    signer = Signer.parse(app.stack.settings["GROUNDCREW_SIGNING_KEY"])
    begin = datetime.now(UTC)
    ids = [sets.format_set_id(begin + timedelta(seconds=s)) for s in range(120)]
    wheres = [f"sets/manual/{set_id}/" for set_id in ids]
    for where, set_id in zip(wheres, ids, strict=True):
        failure = SetFailure(FORMAT, set_id, "manual", begin, reason)
        app.backups.create(where + sets.FAILED, signer.sign(failure))
    yield reason
    # Those that were begun stay: the host may still have their messages.
    blobs = [blob.name for blob in app.backups.list("sets/manual/")]
    for where in wheres:
        if [name for name in blobs if name.startswith(where)] == [where + sets.FAILED]:
            app.backups.delete(where + sets.FAILED)


@pytest.mark.parametrize("how", ["--here", "--wait"])
def test_a_set_that_fails_says_why_when_made_and_when_shown(app, doomed: str, how: str) -> None:
    # The run's record says `running` for ever: only the folder knows that this set has failed.
    answer = app.cli("backups", "create", how, "--json", code=1)
    assert (answer["state"], answer["reason"]) == ("failed", doomed)
    assert f"failed: {doomed}" in app.cli("backups", "create", how, code=1)
    set_id = answer["set"].split("/")[2]
    shown = app.cli("backups", "show", set_id, "--json")
    assert (shown["state"], shown["reason"], shown["runs_unknown"]) == ("failed", doomed, "")
    assert set_id in [run["id"] for run in shown["runs"]]


def test_a_failed_set_is_shown_from_the_storage_that_is_named(app, doomed: str) -> None:
    failed = app.in_state(SetState.FAILED)[-1]
    storage = app.stack.settings["AzureWebJobsStorage"]
    elsewhere = {"AzureWebJobsStorage": "", "GROUNDCREW_BACKUP_STORAGE": "stelsewhere"}
    told = app.cli("backups", "show", failed.id, "--storage", storage, **elsewhere)
    assert f"Reason: {doomed}" in told
    assert "Progress unknown" not in told
    # The settings' backups are there, but not the host's account with the run records.
    elsewhere["GROUNDCREW_BACKUP_STORAGE"] = storage
    told = app.cli("backups", "show", failed.id, **elsewhere)
    assert f"Reason: {doomed}" in told
    assert "Progress unknown: AzureWebJobsStorage is not set" in told


def test_a_tampered_blob_is_named_and_the_runbook_for_it_finds_when_and_what_is_still_good(
    app, sealed, tools, tmp_path: Path
) -> None:
    where = app.cli("backups", "create", "--here", "--json")["set"]
    blob = next(b.name for b in app.backups.list(where) if b.name.endswith(".age"))
    data, _ = app.backups.read(blob)
    (sealed_at,) = [b.last_modified for b in app.backups.list(where) if b.name.endswith("/manifest.json")]
    changed_at = sealed_at
    while changed_at <= sealed_at:  # storage tells whole seconds: in the same one a listing shows no change
        app.backups.replace(blob, data[:-1] + bytes([data[-1] ^ 1]), etag=None)
        (changed_at,) = [b.last_modified for b in app.backups.list(where) if b.name == blob]
    told = app.cli("backups", "verify", where.split("/")[2], "--no-chain", code=1)
    assert blob in told
    listed = app.cli("backups", "list", "--all", "--json")
    assert [s["state"] for s in listed if s["set"] in where and s["class"] in where] == ["damaged"]
    (tmp_path / "recovery.agekey").write_text(app.stack.identity.read_text())
    placeholders = {"SET": sealed.id, "BLOB": blob, "ACCOUNT": "stcrew", "HOST_ACCOUNT": "stcrew"}
    shell = RunbookShell(tmp_path, tools, dict(app.stack.settings), placeholders)
    first_look, newest_good, changed, seals = read_runbook("verify-failed.md")
    told = shell.follow(first_look, fails=True)
    assert f"{blob} was changed: its SHA-256 is not the one in the manifest" in told
    assert "1 sets verified: every document" in shell.follow(newest_good)
    assert "PROVEN" not in told
    changed_at, _, size = shell.follow(changed).split()
    assert (datetime.fromisoformat(changed_at) > sealed_at, int(size)) == (True, len(data))
    digest = hashlib.sha256(app.backups.read(f"{sealed.folder}{sets.MANIFEST}")[0]).hexdigest()
    assert digest[:16] in shell.follow(seals)
    # Health goes on failing for the set that was sealed last, which is right, but not what the others test.
    state = open_blobs(parse_storage_account(app.stack.settings["AzureWebJobsStorage"]), "groundcrew")
    for entry in list(state.list(f"seals/{where.split('/')[2]}")):
        state.delete(entry.name)


def test_missing_settings_are_told_all_at_once_with_examples(app) -> None:
    empty = dict.fromkeys(("MONGODB_URI", "GROUNDCREW_AGE_RECIPIENTS", "GROUNDCREW_SIGNING_KEY"), "")
    told = app.cli("backups", "create", code=2, **empty)
    assert all(name in told for name in empty)
    assert "For example: mongodb://" in told


def test_a_wrong_password_is_not_repeated(app) -> None:
    uri = "mongodb://someone:hunter2hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=100"
    told = app.cli("backups", "create", "--here", code=1, MONGODB_URI=uri)
    assert "hunter2" not in told


def test_health_tells_what_works_without_secrets(app, sealed, wait) -> None:
    host = app.stack.host
    alive = requests.get(f"{host.url}/api/health", timeout=60)
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert requests.head(f"{host.url}/api/health", timeout=60).status_code == 200
    assert requests.get(f"{host.url}/api/health/report", timeout=60).status_code == 401
    key = {"x-functions-key": host.function_key("health_report")}
    works = ("settings.backup", "policy", "storage", "queues", "backups", "mongodb")

    def ask() -> tuple[requests.Response, ...]:
        # It answers within three seconds, in which a busy machine has not heard of everything yet.
        answer = requests.get(f"{host.url}/api/health/report", headers=key, timeout=60)
        return (answer,) if all(answer.json()["checks"][name]["ok"] for name in works) else ()

    (answer,) = wait(ask, f"health to be well in {works}")
    checks = answer.json()["checks"]
    assert not checks["notifications"]["ok"]  # no address of people is set here
    assert "settings.power" not in checks  # the policy has no machine
    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    for secret in (app.stack.account.key, app.stack.settings["GROUNDCREW_SIGNING_KEY"]):
        assert secret not in answer.text


def test_tick_needs_a_key_and_finds_nothing_overdue(app, sealed) -> None:
    url = f"{app.stack.host.url}/api/tick"
    assert requests.post(url, timeout=60).status_code == 401
    answer = requests.post(url, headers={"x-functions-key": app.stack.host.function_key("tick")}, timeout=60)
    assert "nothing to do" in answer.json()["done"]["backup"]


def test_the_database_moves_by_the_command_line_and_back_again(app, sealed, target, read, tmp_path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text((ROOT / "policy.yaml").read_text().replace("approvals: 1", "approvals: 0"))
    addresses = {
        "GROUNDCREW_MIGRATE_FROM_URI": app.stack.mongodb_uri,
        "GROUNDCREW_MIGRATE_TO_URI": target.uri,
    }
    alone = {**addresses, "GROUNDCREW_POLICY": str(policy)}
    assert app.cli("migrate", "--json", **addresses)["phase"] == "ready"
    asked = app.cli("migrate", "cut-over", "--yes", "--no-cluster", code=1, **addresses)
    assert "approval of a second person" in asked
    # Other tests hold connections that give no name.
    words = ("migrate", "cut-over", "--yes", "--no-cluster", "--ignore-client", "", "--json")
    moved = app.cli(*words, **alone)
    assert (moved["phase"], moved["writable"], moved["differences"]) == ("switched", "target", [])
    with app.source as source, read(target.uri) as restored:
        found = compare.compare_databases(source, restored)
    assert not found.different
    assert found.equal > 80
    back = app.cli("migrate", "back", "--yes", "--no-cluster", "--json", **alone)
    assert (back["phase"], back["writable"]) == ("ready", "source")
    assert app.cli("migrate", "abort", "--yes", "--json", **alone)["phase"] == "aborted"
    with read(target.uri) as emptied:
        assert _names(emptied) == []
