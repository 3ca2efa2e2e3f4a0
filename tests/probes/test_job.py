"""A look: what is tried by policy, what is kept and told, and that one probe hides no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.chat_doors import MemoryIntegrations, MemoryLobby, MemoryParticipant
from local.fakes.clock import ManualClock
from local.fakes.notifications import MemoryNotifications
from shared.kernel.errors import Locked, NotFound, Refused, Unavailable
from shared.notifications.ports import Severity
from shared.policy.probes import ProbesPolicy
from shared.probes.deps import ChatDoors, ProbeDeps
from shared.probes.job import run_probes, try_probes
from shared.probes.model import IntegrationState, MessageTrip, ProbeRun
from shared.probes.records import load_probes

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
WRITES = ProbesPolicy(enabled=True, channel="probes", push=True)


class ProbeWorld:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.state = MemoryBlobs(self.clock)
        self.people = MemoryNotifications(self.clock)
        self.lobby = MemoryLobby("password", "keycloak")
        self.participant: MemoryParticipant | None = MemoryParticipant()
        self.integrations: MemoryIntegrations | None = MemoryIntegrations(
            IntegrationState("jira", outgoing=True, failed=False)
        )
        self.policy = WRITES

    def deps(self) -> ProbeDeps:
        doors = ChatDoors(self.lobby, self.participant, self.integrations)
        return ProbeDeps(doors, self.state, self.clock, self.people, self.policy, lambda: "a text")

    def look(self, trigger: str = "start", *, last_try: bool = True) -> ProbeRun:
        return run_probes(self.deps(), trigger, last_try=last_try)[0]


@pytest.fixture
def world() -> ProbeWorld:
    return ProbeWorld()


def statuses(run: ProbeRun) -> dict[str, str]:
    return {str(one.name): str(one.status) for one in run.outcomes}


def test_all_that_policy_asks_for_is_tried_and_kept(world: ProbeWorld) -> None:
    run = world.look("deploy 1a2b3c4")
    assert list(statuses(run)) == ["sign-in", "read-only", "message", "upload", "push", "integrations"]
    assert set(statuses(run).values()) == {"ok"}
    kept = load_probes(world.state)
    assert kept is not None
    assert (kept.run, dict(kept.told)) == (run, {})
    assert world.people.told == []


def test_nothing_is_written_unless_policy_names_a_channel(world: ProbeWorld) -> None:
    world.policy = ProbesPolicy(enabled=True, integrations=False)
    assert list(statuses(world.look())) == ["sign-in", "read-only"]
    assert world.participant is not None
    assert world.participant.acts == []


def test_a_probe_that_fails_hides_no_other(world: ProbeWorld) -> None:
    assert world.participant is not None
    world.participant.failures["send_message"] = Refused("not allowed", value="chat.sendMessage")
    world.lobby.failure = Unavailable("no answer")
    assert world.integrations is not None
    world.integrations.failure = Unavailable("no MongoDB")
    assert statuses(world.look()) == {
        "sign-in": "failed", "read-only": "failed", "message": "failed", "upload": "ok", "push": "ok",
        "integrations": "unknown",
    }  # fmt: skip


def test_what_nobody_could_look_at_is_unknown(world: ProbeWorld) -> None:
    world.participant, world.integrations = None, None
    found = statuses(world.look())
    assert [found[name] for name in ("message", "upload", "push", "integrations")] == ["unknown"] * 4
    assert world.people.told == []


def test_a_token_that_ended_says_nothing_of_everybody_else(world: ProbeWorld) -> None:
    assert world.participant is not None
    world.participant.failures["sign_in"] = Refused("not allowed", value="me: 401")
    found = statuses(world.look())
    assert [found[name] for name in ("message", "upload", "push")] == ["unknown"] * 3
    world.participant.failures["sign_in"] = Unavailable("no answer")
    assert statuses(world.look())["message"] == "failed"


def test_a_mistake_of_ours_is_no_fault_of_the_chat(world: ProbeWorld) -> None:
    assert world.participant is not None
    world.participant.failures["upload_file"] = NotFound("no such thing")
    assert statuses(world.look())["upload"] == "unknown"


def test_people_are_told_when_it_begins_and_when_it_is_over(world: ProbeWorld) -> None:
    assert world.participant is not None
    world.look()
    world.participant.trip = MessageTrip()
    world.look()
    world.look("deploy 1a2b3c4")
    world.participant.trip = MessageTrip(0.1)
    world.look()
    first, over = world.people.told
    assert (first.severity, first.title) == (Severity.CRITICAL, "After start: message failed")
    assert "did not arrive over the realtime stream" in first.text
    assert (over.severity, over.title) == (Severity.INFO, "Works again: message")


def test_what_only_some_need_is_a_warning(world: ProbeWorld) -> None:
    world.integrations = MemoryIntegrations(IntegrationState("jira", outgoing=True, failed=True, step="http"))
    world.look()
    assert [one.severity for one in world.people.told] == [Severity.WARNING]


def test_a_way_to_sign_in_is_missed_until_it_is_back_or_policy_says_otherwise(world: ProbeWorld) -> None:
    world.look()
    world.lobby.offer = MemoryLobby("password").offer
    assert statuses(world.look())["sign-in"] == "failed"
    # The look after the loss does not take what is left for all there is.
    assert statuses(world.look())["sign-in"] == "failed"
    world.policy = ProbesPolicy(enabled=True, sign_in=("password",))
    assert statuses(world.look())["sign-in"] == "ok"


def test_policy_names_what_has_to_be_there_at_the_first_look(world: ProbeWorld) -> None:
    world.policy = ProbesPolicy(enabled=True, sign_in=("password", "saml"))
    assert statuses(world.look())["sign-in"] == "failed"


def test_before_the_last_try_a_fault_is_neither_told_nor_kept(world: ProbeWorld) -> None:
    assert world.participant is not None
    world.look()
    world.participant.trip = MessageTrip()
    run, report = run_probes(world.deps(), "deploy 1a2b3c4", last_try=False)
    assert report.regressed == ("message",)
    assert run.failed
    assert world.people.told == []
    kept = load_probes(world.state)
    assert kept is not None
    assert not kept.run.failed
    world.look("deploy 1a2b3c4")
    assert len(world.people.told) == 1


def test_a_notification_that_fails_is_given_again_by_the_next_look(world: ProbeWorld) -> None:
    assert world.participant is not None
    world.participant.trip = MessageTrip()
    world.people.down = True
    world.look()
    world.people.down = False
    world.look()
    assert [one.title for one in world.people.told] == ["After start: message failed"]


def test_a_look_does_not_begin_during_another_one(world: ProbeWorld) -> None:
    with world.state.lease("locks/probes", duration=timedelta(seconds=60)):
        with pytest.raises(Locked):
            world.look()
        assert try_probes(world.deps(), "start").text == "probes skipped: another look is in progress"


def test_what_keeps_a_look_from_being_kept_stops_no_deploy(world: ProbeWorld) -> None:
    world.look()
    world.state.replace("probes/last.json", b"{}", etag=None)  # of another version, or cut off
    assert try_probes(world.deps(), "start").text == "6 probes ok"
