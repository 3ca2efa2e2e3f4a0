"""Every command through the endpoint behind sign-in, by the features' entry points; Azure is the stand-in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
import requests

from local.app_service import principal_header
from local.azurite import EmulatedAccount
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.stack import Stack

# One person may give 20 commands a minute: so several take turns.
PEOPLE = [f"0a000000-0000-0000-0000-0000000000{number:02}" for number in range(15)]
ANA, EVE = PEOPLE[0], "0e000000-0000-0000-0000-00000000000e"
LINKED = ", ".join(f"{{id: p{n}, roles: [crew], entra: [{one}]}}" for n, one in enumerate(PEOPLE))
SECONDS = 120
# The machine is to start once in 24 hours, whatever the hour is now.
POLICY = f"""
timezone: UTC
people: [{LINKED}, {{id: eve, entra: [{EVE}]}}]
chat:
  rules:
    - who: [role:crew]
      rooms: [web]
      commands: [status, up, down, auto, orders, cancel, hold, release, backup, backups, restore,
                 drill, snapshot, deploy, plan, certs,
                 renew, silence, unsilence, cost, who, approve]
power:
  machines: [{{name: rocketchat, windows: ["daily 06:00-18:00"]}}]
snapshots: {{disks: groundcrew=snapshot}}
backup: {{restore_targets: [inspection]}}
"""
TIMERS = ("catch_up", "nightly_backup", "power_tick", "snapshot_cycle", "cost_report", "certificate_scan")

pytestmark = pytest.mark.timeout(300)


@dataclass
class SignedIn:
    """The endpoint for who is signed in."""

    url: str
    target: str
    turn: int = 0

    def post(self, text: str, person: str = ANA, **headers: str) -> requests.Response:
        return requests.post(
            f"{self.url}/api/chatops/signed-in", json={"command": text}, timeout=30,
            headers={**principal_header(id_=person), **headers},
        )  # fmt: skip

    def get(self, path: str, person: str = ANA) -> requests.Response:
        return requests.get(f"{self.url}{path}", headers=principal_header(id_=person), timeout=30)

    def order(self, text: str, person: str = "") -> tuple[str, str]:
        """How it ended, and the answer."""
        self.turn += 1
        person = person or PEOPLE[self.turn % len(PEOPLE)]
        accepted = self.post(text, person)
        assert accepted.status_code == 202, accepted.text
        deadline = time.monotonic() + SECONDS
        while (answer := self.get(accepted.json()["answer"], person)).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.3)
        found: dict[str, Any] = answer.json()
        return found["state"], found["answer"]

    def confirm(self, text: str) -> tuple[str, str]:
        """Order it, and again with the code that was shown."""
        state, shown = self.order(text, ANA)
        assert state == "asked", shown
        return self.order(shown.splitlines()[-1], ANA)


@pytest.fixture(scope="module")
def signed_in(
    tmp_path_factory: pytest.TempPathFactory, take_account: Callable[[], EmulatedAccount]
) -> Iterator[SignedIn]:
    folder = tmp_path_factory.mktemp("signed-in")
    (folder / "policy.yaml").write_text(POLICY)
    environment = {f"AzureWebJobs.{timer}.Disabled": "1" for timer in TIMERS}
    environment |= {"GROUNDCREW_WAKE_SIGN_IN": "app-service"}
    with MongoServer(folder / "inspection", ttl_monitor=False) as target:
        environment["GROUNDCREW_RESTORE_TARGETS"] = f"inspection={target.uri}"
        stack = Stack(
            folder / "stack",
            policy=folder / "policy.yaml",
            with_azure=True,
            environment=environment,
            storage=take_account(),
        )
        lines = stack.make_identity().splitlines()
        stack.environment["GROUNDCREW_DRILL_KEY"] = " ".join(
            x for x in lines if x.startswith("AGE-SECRET-KEY")
        )
        with stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            yield SignedIn(stack.host.url, target.uri)


def test_orders_of_power_are_done_and_put_on_record(signed_in: SignedIn) -> None:
    state, answer = signed_in.order("down dry run")
    assert state == "answered"
    assert re.search(r"would order every machine off until \w{3} \d{4}-\d\d-\d\d 06:00", answer), answer
    state, answer = signed_in.confirm("down machine rocketchat")
    assert (state, "rocketchat" in answer) == ("done", True), answer
    assert signed_in.order("auto")[0] == "done"
    # Of today's weekday it would be "until", once it is ten o'clock.
    day = datetime.now(UTC) + timedelta(days=3)
    assert f"order every machine up from {day:%a}" in signed_in.order(f"up {day:%A} 10-14 dry run")[1]
    assert signed_in.order("up soon")[0] == "failed"
    assert "no such machine" in signed_in.order("up machine other")[1]
    assert signed_in.order("keep it up for 3h")[0] == "done"
    # The newest order is listed with its id, ended alone, and no other with it.
    before = signed_in.order("orders")[1].splitlines()
    newest = next(line for line in before if " up until " in line)
    assert re.search(r"^\d{8}T\d{6}-[0-9a-f]{8}: every machine up until .+ \(by p\d+\)$", newest), newest
    state, answer = signed_in.confirm(f"cancel {newest.partition(':')[0].lower()}")
    assert (state, "cancelled" in answer) == ("done", True), answer
    assert signed_in.order("orders")[1].splitlines() == [line for line in before if line != newest]
    assert "no such order" in signed_in.order(f"cancel {newest.partition(':')[0]}")[1]
    state, answer = signed_in.order("hold for 1.5 hours because moving a disk")
    assert (state, answer.startswith("no stop until ")) == ("done", True), answer
    assert signed_in.order("hold for 3 weeks")[0] == "failed"
    assert signed_in.order("release")[0] == "done"
    story = signed_in.order("who did power.order_added")[1]
    assert re.search(r"p\d+: power.order_added every: up for 3h", story), story
    assert "off until" in story


def test_a_backup_is_begun_from_the_page_and_sealed(signed_in: SignedIn) -> None:
    assert signed_in.order("up for 3h")[0] == "done"  # a machine that is off has nothing to back up
    state, answer = signed_in.order("backup now")
    assert state == "done", answer
    made = re.search(r"began (manual/\w+)", answer)
    assert made, answer
    deadline = time.monotonic() + SECONDS
    while f"{made[1]} sealed" not in (listed := signed_in.order("backups")[1]):
        assert time.monotonic() < deadline, listed
        time.sleep(0.5)
    _restore_by_two_people(signed_in, made[1])
    status = signed_in.order("status")[1]
    assert "backup: the newest good one is" in status
    assert "server: rocketchat is running" in status


def _restore_by_two_people(signed_in: SignedIn, reference: str) -> None:
    """One asks, another approves, the app restores into the server that policy names, and nowhere else."""
    state, asked = signed_in.order(f"restore {reference} into inspection", PEOPLE[1])
    assert (state, "production is not touched" in asked) == ("asked", True), asked
    approve = asked.splitlines()[-1]
    assert "must be different people" in signed_in.order(approve, PEOPLE[1])[1]
    with pymongo.MongoClient[dict[str, Any]](signed_in.target) as client:
        assert "rocketchat" not in client.list_database_names()
        state, answer = signed_in.order(approve, PEOPLE[2])
        assert state == "done", answer
        assert f"restored {reference} into inspection" in answer
        assert "all equal" in answer
        assert "requested by p1, approved by p2" in answer
        assert client.get_database("rocketchat").get_collection("users").count_documents({}) > 0
    assert "inspection is not empty" in signed_in.order("restore latest into inspection")[1]
    # Production is restored by who has the recovery key: two people agree, and the command is theirs.
    asked = signed_in.order("restore latest", PEOPLE[1])[1]
    state, answer = signed_in.order(asked.splitlines()[-1], PEOPLE[2])
    assert (state, "groundcrew restore latest --to-uri" in answer) == ("done", True), answer
    assert "p1: chat.restore restore latest" in signed_in.order("who did chat.restore")[1]


@pytest.mark.parametrize(
    ("text", "state", "told"),
    [
        ("restore latest into production", "failed", "policy names no such server"),
        ("restore daily/20200101T000000Z into inspection", "failed", "20200101T000000Z"),
        ("drill", "refused", "no scratch MongoDB"),
        ("silence bakcup for 2h because x-y", "failed", "Did you mean backup?"),
        ("silence backup for 2d because x-y", "failed", "longer than a silence may last"),
        ("certs", "answered", "no certificate was looked at yet"),
        ("renew chat", "failed", "no cluster is set"),
        ("cost", "answered", "no week was reported yet"),
        ("snapshot dry run", "answered", "take nothing"),
        ("plan " + "0" * 40, "failed", "deploys are off"),
        ("deploy " + "0" * 40, "failed", "deploys are off"),
        ("approve " + "0" * 16, "failed", "there is no such request"),
        ("rollback 3", "refused", "rollback in web"),
    ],
)
def test_what_cannot_be_done_says_why_and_what_to_do(
    signed_in: SignedIn, text: str, state: str, told: str
) -> None:
    found = signed_in.order(text)
    assert (found[0], told in found[1]) == (state, True), found


def test_a_topic_is_silenced_for_a_while_and_the_status_says_so(signed_in: SignedIn) -> None:
    state, answer = signed_in.confirm("silence certificates for 2h because Moving the ingress")
    assert (state, "silenced certificates until" in answer) == ("done", True), answer
    assert re.search(
        r"silences: certificates until .* by p0: Moving the ingress", signed_in.order("status")[1]
    )
    state, answer = signed_in.order("unsilence certificates")
    assert (state, "ended the silence" in answer) == ("done", True), answer
    assert "chat.silence" in signed_in.order("who did silence certificates")[1]


def test_snapshots_that_are_due_are_taken_and_none_is_removed(signed_in: SignedIn) -> None:
    assert signed_in.confirm("snapshot") == ("done", "0 taken, 0 removed, 0 kept")


def test_an_answer_is_read_by_who_asked_and_a_repetition_is_the_same_command(signed_in: SignedIn) -> None:
    first = signed_in.post("status", **{"Idempotency-Key": "one"})
    again = signed_in.post("status", **{"Idempotency-Key": "one"})
    assert first.json() == again.json()
    path = first.json()["answer"]
    assert signed_in.get(path, EVE).status_code == 404
    assert signed_in.get("/api/chatops/signed-in/" + "0" * 32).status_code == 404
    assert requests.get(f"{signed_in.url}{path}", timeout=30).status_code == 401
    assert signed_in.post("status", "not-an-object-id").status_code == 202
    assert requests.post(f"{signed_in.url}/api/chatops/signed-in", json={}, timeout=30).status_code == 401
