"""From GitHub's signed webhook through the host to a new revision in the cluster, and back."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pymongo
import pytest
import requests

from local.deploy_demo import NEVER, DeployWatch, wait_for_deploy
from local.github import webhooks
from local.real import find_program
from shared.adapters.blobs import open_blobs
from shared.adapters.clock import SystemClock
from shared.formats.manifest import Signer
from shared.records.approval_keys import ApprovalKeys
from shared.records.approvals import Approvals
from shared.settings.environment import parse_storage_account
from tests.support.real_sops import seal_then_sops, sops_then_edit
from tests.support.runbooks import RunbookShell, StandInTools, read_runbook
from tests.support.stored_texts import read_stored_texts

# One site for all, whose tests go on where the one before ended. Beside other tests Helm may be slow.
pytestmark = pytest.mark.timeout(300)
SEALED_GREETING = "welcome-to-what-was-sealed"


def test_a_signed_merge_becomes_a_new_revision_and_a_success_on_github(place) -> None:
    record = place.ship("8.2.0", "hello")
    assert record.state.value == "done", record
    assert place.site.statuses(record.progress.sha)[-1] == "success"
    assert place.site.chat.version() == "8.2.0"
    (told,) = place.site.people.wait_for("is deployed")
    (made,) = [one for one in place.site.repository.deployments if one.sha == record.progress.sha]
    (link,) = {status.log_url for status in made.statuses}
    assert link == f"{place.stack.host.url}/api/deploys/{record.progress.key}"
    assert f"Progress: {link}" in told
    assert "lets people in" in requests.get(link, timeout=10).text


def test_a_new_version_is_preceded_by_a_sealed_backup_and_sealed_values_reach_the_pods(place) -> None:
    record = place.ship("8.3.0", SEALED_GREETING, is_sealed=True)
    assert record.state.value == "done", record
    shown = place.cli("backups", "show", record.progress.backup, "--json")
    assert shown["set"] == record.progress.backup.rpartition("/")[2]
    assert place.site.chat.version() == "8.3.0"
    assert place.site.read_greeting() == SEALED_GREETING
    assert SEALED_GREETING not in str(place.site.repository.history.commits)


@pytest.mark.parametrize("begun_by", ["us", "sops"])
def test_values_that_one_sealed_and_the_other_edited_and_rotated_reach_the_pods(place, begun_by: str) -> None:
    sops = find_program("sops")
    if sops is None:
        pytest.skip("no sops here: `make real` brings it")
    greeting = f"edited-after-{begun_by}"
    chain = seal_then_sops if begun_by == "us" else sops_then_edit
    site = place.site
    before, site.seal_values = site.seal_values, partial(chain, sops, site.directory, greeting)
    try:
        record = place.ship("8.3.0", f"first-by-{begun_by}", is_sealed=True)
    finally:
        site.seal_values = before
    assert record.state.value == "done", record
    assert site.read_greeting() == greeting
    assert greeting not in str(site.repository.history.commits)


def test_an_image_that_never_pulls_is_rolled_back_and_told(place) -> None:
    record = place.ship("8.3.0", "goodbye", image="registry.invalid/never-pulls/rocket.chat")
    assert record.state.value == "rolled_back", record
    assert place.site.statuses(record.progress.sha)[-1] == "failure"
    assert place.site.chat.version() == "8.3.0"
    assert place.site.people.wait_for("was rolled back")


def test_an_open_pull_request_gets_its_plan_as_one_comment_that_follows_it(place) -> None:
    pull = place.site.propose("8.3.0", "not merged yet")
    comments = place.site.repository.comments

    def tell(action: str) -> None:
        payload = webhooks.pull_request(place.site.repository, pull, place.site.github.url, action)
        assert (
            place.site.github.deliver(place.endpoint, "pull_request", payload, place.site.secret).status
            == 202
        )

    tell("opened")
    _until(lambda: comments.get(pull.number))
    assert "not merged yet" in comments[pull.number][0]["body"]
    place.site.repository.commit({"chart/extra.txt": b"x"}, branch=pull.head_ref, author="ada")
    tell("synchronize")
    _until(lambda: f"Plan of {pull.head_sha[:7]}" in comments[pull.number][0]["body"])
    assert len(comments[pull.number]) == 1
    assert place.site.read_greeting() != "not merged yet"
    place.site.repository.close(pull)


def test_a_redelivery_changes_nothing(place) -> None:
    record = place.ship("8.3.0", "once")
    before = len(place.site.repository.deployments)
    pull = place.site.repository.pulls[record.progress.pull]
    payload = webhooks.pull_request(place.site.repository, pull, place.site.github.url)
    again = place.site.github.deliver(
        place.endpoint, "pull_request", payload, place.site.secret, delivery_id=record.request.delivery
    )
    assert again.status == 202
    later = place.ship("8.3.0", "twice")
    assert later.state.value == "done"
    assert len(place.site.repository.deployments) == before + 1


@contextmanager
def _slow(place) -> Iterator[None]:
    """Pods that start meanwhile take ten seconds to get ready, so that Helm is still waiting for them."""
    usual = place.site.cluster.behaviour.ready_seconds
    place.site.cluster.behaviour.ready_seconds = 500.0
    try:
        yield
    finally:
        place.site.cluster.behaviour.ready_seconds = usual


def _merged_and_waiting(place, greeting: str) -> str:
    """The commit of a merge whose deploy is in the middle of Helm's wait."""
    sha = place.site.merge(place.stack.host.url, place.site.propose("8.3.0", greeting))
    _until_helm_waits(place, sha)
    return sha


def _until_logged(place, sha: str, text: str, *, after: str = "") -> None:
    """Until the log of the commit's deploy has it, once it has come to `after`."""
    watch = DeployWatch(place.stack)

    def is_logged() -> bool:
        log = "\n".join(record.log) if (record := watch.find(sha)) else ""
        return text in (log.partition(after)[2] if after else log)

    _until(is_logged)


def _until_helm_waits(place, sha: str) -> None:
    """Not for the backup, which comes before it is applied."""
    _until_logged(place, sha, "waiting", after="applying: ")


def _until(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.3)


def test_a_worker_killed_in_the_middle_of_helm_is_followed_by_one_that_finishes(place) -> None:
    with _slow(place):
        sha = _merged_and_waiting(place, "patience")
        place.stack.host.kill()
    place.stack.start_host()
    # The dead worker's message stays hidden for minutes: another event of the same merge goes on.
    pull = next(one for one in place.site.repository.pulls.values() if one.merge_commit_sha == sha)
    payload = webhooks.pull_request(place.site.repository, pull, place.site.github.url)
    assert place.site.github.deliver(place.endpoint, "pull_request", payload, place.site.secret).status == 202
    record = wait_for_deploy(place.stack, sha)
    assert record.state.value == "done", record
    assert record.progress.attempts == 2, record.log


def test_an_api_server_that_restarts_in_the_middle_of_helm_is_waited_for_or_all_is_undone(place) -> None:
    before = place.site.read_greeting()
    with _slow(place):
        sha = _merged_and_waiting(place, "restart")
        place.site.cluster.restart()
    record = wait_for_deploy(place.stack, sha)
    # Cut off between two of its questions Helm 4 waits on; within one it gives up and goes back by itself.
    greeting, status = {"done": ("restart", "success"), "rolled_back": (before, "failure")}[
        record.state.value
    ]
    _until(lambda: place.site.read_greeting() == greeting)
    assert place.site.statuses(sha)[-1] == status
    assert place.site.chat.version() == "8.3.0"


def test_an_api_server_that_stays_away_in_the_middle_of_helm_is_waited_for(place) -> None:
    with _slow(place):
        sha = _merged_and_waiting(place, "outage")
        place.site.cluster.stop()
        _until_logged(place, sha, "waiting: the cluster does not answer")
        place.site.cluster.start()
    record = wait_for_deploy(place.stack, sha)
    assert record.state.value == "done", record
    assert record.progress.attempts == 2, record.log
    assert place.site.read_greeting() == "outage"
    assert place.site.statuses(sha)[-1] == "success"


def test_merges_that_come_at_once_are_shipped_in_order_and_the_later_one_stays(place) -> None:
    url = place.stack.host.url
    with _slow(place):
        first = _merged_and_waiting(place, "first")
        second, third = (place.site.merge(url, place.site.propose("8.3.0", text)) for text in ("2nd", "3rd"))
    record = {sha: wait_for_deploy(place.stack, sha) for sha in (first, second, third)}
    assert (record[first].state.value, record[third].state.value) == ("done", "done")
    # Whether the second is seen to be in the third before its own turn depends on who is faster.
    assert record[second].state.value == "superseded" or record[second].updated < record[third].updated
    assert place.site.read_greeting() == "3rd"


def test_a_merge_of_which_no_webhook_told_is_made_up_for_by_an_outside_heartbeat(place) -> None:
    pull = place.site.propose("8.3.0", "silent")
    sha = place.site.repository.merge(pull, by="grace")
    pull.merged_at = datetime.now(UTC) - timedelta(hours=1)
    key = place.stack.host.function_key("tick")
    told = requests.post(
        f"{place.stack.host.url}/api/tick", headers={"x-functions-key": key}, timeout=60
    ).json()
    assert "its webhook was missed" in told["done"]["deploys"]
    assert wait_for_deploy(place.stack, sha).state.value == "done"


def test_five_hundred_forged_webhooks_are_all_turned_away_by_the_running_host(place) -> None:
    dice = random.Random(7)
    pull = next(iter(place.site.repository.pulls.values()))
    body = webhooks.encode_payload(webhooks.pull_request(place.site.repository, pull, place.site.github.url))
    good = webhooks.delivery_headers("pull_request", body, place.site.secret)
    with requests.Session() as session:
        for number in range(500):
            forged, headers = _forge(dice, number, body, good)
            answer = session.post(place.endpoint, data=forged, headers=headers, timeout=10)
            assert 400 <= answer.status_code < 500, f"{number}: {answer.status_code} {answer.text}"


def _forge(dice, number: int, body: bytes, good: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """A body or a signature that is off by something."""
    headers = dict(good)
    match number % 5:
        case 0:  # one bit of the body
            at = dice.randrange(len(body))
            return body[:at] + bytes([body[at] ^ 1 << dice.randrange(8)]) + body[at + 1 :], headers
        case 1:
            headers["X-Hub-Signature-256"] = f"sha256={dice.randbytes(32).hex()}"
        case 2:
            headers.pop("X-Hub-Signature-256")
        case 3:
            headers["X-Hub-Signature-256"] = headers["X-Hub-Signature-256"].upper()
        case 4:
            return dice.randbytes(dice.randrange(2000)), headers
    return body, headers


def test_no_secret_is_in_logs_records_messages_or_comments(place) -> None:
    needles = {
        "webhook secret": place.site.secret,
        "github token": place.site.github.token,
        "cluster token": place.site.cluster.token,
        "sealed value": SEALED_GREETING,
        "age key": place.stack.settings["GROUNDCREW_SOPS_AGE_KEY"],
        "signing key": place.stack.settings["GROUNDCREW_SIGNING_KEY"],
    }
    said = (place.stack.state_dir / "host" / "host.log").read_text()
    said += repr([place.site.people.messages, place.site.repository.comments])
    said += repr([one.statuses for one in place.site.repository.deployments])
    storage = parse_storage_account(place.stack.settings["AzureWebJobsStorage"])
    stored = list(read_stored_texts(open_blobs(storage, "groundcrew")))
    assert stored, "nothing was searched"
    said += "".join(stored)
    assert len(said) > 10_000
    for name, needle in needles.items():
        assert needle not in said, name


def _list_commands() -> Iterator[str]:
    """The arguments of every process of the machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def test_nothing_secret_is_in_the_arguments_of_helm(place) -> None:
    """Watches the process table while a deploy runs."""
    sha = place.site.merge(place.stack.host.url, place.site.propose("8.3.0", "argv"))
    watch, observed, rounds = DeployWatch(place.stack), set(), 0
    while rounds % 10 or (record := watch.find(sha)) is None or not record.ended:
        rounds += 1  # Helm runs for a second or more, so that a look every 20 ms sees it
        observed |= {line for line in _list_commands() if "helm" in line and "upgrade" in line}
        time.sleep(0.02)
    assert observed, "no helm upgrade was seen"
    for line in observed:
        for needle in (place.site.cluster.token, place.site.github.token, place.site.secret):
            assert needle not in line


def test_the_command_line_plans_runs_shows_and_goes_back(place, tmp_path: Path) -> None:
    record = place.ship("8.3.0", "by command")
    pull = place.site.propose("8.4.0", "planned")
    sha = place.site.repository.merge(pull, by="grace")
    plan = place.cli("deploy", "plan", sha, "--json")
    assert plan["passed"], plan
    assert "8.4.0" in plan["plan"]
    assert place.site.chat.version() == "8.3.0", "a plan changes nothing"
    # docs/runbooks/deploy-failed.md, word for word. No gate is closed here, and so none is overridden.
    with StandInTools(tmp_path / "bin", {}) as tools:
        shell = RunbookShell(tmp_path, tools, {**os.environ, **place.stack.settings}, {"SHA": sha})
        first_look, override, run = read_runbook("deploy-failed.md")
        assert record.progress.sha[:7] in shell.follow(first_look)
        assert "that gate is not closed" in shell.follow(override, fails=True)
        shell.follow(run)
    done = place.cli("deploy", "status", sha[:10], "--json")
    assert (done["state"], done["version_after"]) == ("done", "8.4.0")
    shown = place.cli("deploy", "status", sha[:10], "--json")
    assert shown["log"][-1].startswith("done")
    history = place.cli("deploy", "history", "--json")
    assert history["revisions"][-1]["status"] == "deployed"
    assert {record.progress.sha, sha} <= {one["sha"] for one in history["deploys"]}
    before = str(history["revisions"][-2]["revision"])
    refused = place.cli("deploy", "rollback", before, code=1)
    assert "Restore the backup" in refused
    refused = place.cli("deploy", "rollback", before, "--restored", done["backup"], code=1)
    assert "needs the approval of a second person" in refused
    assert place.site.chat.version() == "8.4.0"
    assert place.cli("deploy", "drift", "--json")["drifts"] == []
    assert "no such deploy" in place.cli("deploy", "status", "0123456", code=1)


def test_the_feature_compatibility_version_is_shown_and_not_raised_before_two_days(place) -> None:
    place.stack.settings["GROUNDCREW_MONGODB_ADMIN_URI"] = f"{place.stack.mongodb_uri}"
    assert place.cli("mongodb", "status", "--json")["raised"] is True
    with pymongo.MongoClient[dict[str, Any]](place.stack.mongodb_uri) as mongodb:
        mongodb.admin.command({"setFeatureCompatibilityVersion": "8.0", "confirm": True})
    shown = place.cli("mongodb", "raise-features", "--dry-run", "--json")
    assert (shown["features"], shown["target"], shown["raised"]) == ("8.0", "8.2", False)
    assert any("has not run for 2 days" in problem for problem in shown["problems"])
    assert "has not run for 2 days" in place.cli("mongodb", "raise-features", code=1)
    with pymongo.MongoClient[dict[str, Any]](place.stack.mongodb_uri) as mongodb:
        mongodb.admin.command({"setFeatureCompatibilityVersion": "8.2", "confirm": True})


def test_a_version_that_migrates_and_fails_is_gone_back_from_by_a_restore_and_two_people(place) -> None:
    """The whole of docs/runbooks/restore-after-a-deploy.md."""
    before = place.site.chat.version()
    pull = place.site.propose("8.5.0", "migrates", image=NEVER)
    sha = place.site.merge(place.stack.host.url, pull)
    with pymongo.MongoClient[dict[str, Any]](place.stack.mongodb_uri) as mongodb:
        _until_helm_waits(place, sha)
        mongodb.rocketchat.migrations.update_one({"_id": "control"}, {"$inc": {"version": 1}})
        record = wait_for_deploy(place.stack, sha)
        assert record.state.value == "restore_proposed", record
        backup, revision = record.progress.backup, str(record.progress.revision_before)
        assert f"groundcrew deploy rollback {revision} --restored {backup}" in record.proposal
        assert place.site.statuses(sha)[-1] == "error"
        assert place.site.people.wait_for("a restore is proposed")

        reverted = place.ship(before, "revert")
        assert reverted.state.value == "failed", "an older version is not started on these data"
        assert any("closed  version" in line for line in reverted.gates)
        assert "may have migrated" in place.cli("deploy", "rollback", revision, code=1)
        back = ("deploy", "rollback", revision, "--restored", backup)
        assert "is not that of" in place.cli(*back, code=1)

        for name in set(mongodb.list_database_names()) - {"admin", "config", "local"}:
            mongodb.drop_database(name)
    to = ("--to-uri", place.stack.mongodb_uri, "--identity", str(place.stack.identity))
    place.cli("restore", backup, *to)
    refused = place.cli(*back, code=1)
    assert "needs the approval of a second person" in refused
    asked = re.search(r"deploy approve ([0-9a-f]{16})", refused)
    assert asked
    assert "must be different people" in place.cli("deploy", "approve", asked[1], code=1)
    storage = parse_storage_account(place.stack.settings["AzureWebJobsStorage"])
    signer = Signer.parse(place.stack.settings["GROUNDCREW_SIGNING_KEY"])
    keys = ApprovalKeys(signer, (signer.public_text(),))
    Approvals(open_blobs(storage, "groundcrew"), SystemClock(), keys).approve(asked[1], by="grace")
    assert "approved by grace" in place.cli(*back)
    _until(lambda: place.site.chat.version() == before)
    after = place.ship(before, "after the restore")
    assert after.state.value == "done", after
