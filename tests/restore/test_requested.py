"""A restore that two people ask the app for: where it may go, what it is bound to, killed at any step."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import bson
import pytest

from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.fakes.mongodb import MemoryDatabase
from local.fakes.reporter import ListReporter
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.erasures import Erasure
from shared.formats.strict_json import FORMAT
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.mongodb.model import InsertResult, Namespace
from shared.pitr.catalogue import SliceCatalogue
from shared.restore.drill.scratch import ScratchClaim
from shared.restore.erasure_ledger import ErasureLedger
from shared.restore.requested import (
    MARKER,
    RequestedRestoreDeps,
    plan_requested_restore,
    run_requested_restore,
)
from shared.settings import definitions
from shared.settings.environment import parse_setting
from shared.wiring.chat_restore import parse_targets
from tests.support.backup_world import SIGNER, World
from tests.support.capture_world import CaptureWorld
from tests.support.drill_world import DrillWorld


class Restores:
    """A sealed set of two documents and an empty server to look at it."""

    def __init__(self, world: World | None = None) -> None:
        self.drills = DrillWorld(world) if world else DrillWorld()
        self.world, self.target = self.drills.world, MemoryDatabase("inspection:27017")
        if world is None:
            self.world.seed(collections=1, documents=2)
            self.drills.seal()

    def deps(self, plan: FaultPlan | None = None, **changes: object) -> RequestedRestoreDeps:
        plan = plan or FaultPlan()
        deps = RequestedRestoreDeps(
            name="inspection",
            connect=lambda: with_faults(self.target, plan, "target"),
            addresses=("inspection:27017",),
            production=lambda: ("memory:27017",),
            others=("scratch:27017",),
            catalogue=self.world.catalogue,
            state=with_faults(self.world.state, plan, "state"),
            clock=self.world.clock,
            identities=self.world.identities,
            jobs=1,
        )
        return replace(deps, **changes)  # type: ignore[arg-type]

    def restore(self, plan: FaultPlan | None = None) -> str:
        deps = self.deps(plan)
        return run_requested_restore(deps, plan_requested_restore(deps, "latest", None), ListReporter())

    def names(self) -> set[str]:
        return {one.name for one in self.target.list_namespaces()}


@pytest.fixture
def restores() -> Restores:
    return Restores()


def test_a_set_is_restored_compared_and_left_for_people_to_look_at(restores) -> None:
    assert restores.restore().endswith("into inspection: 1 namespaces, 2 documents, all equal")
    assert restores.names() == {"rocketchat.c0"}
    assert not restores.deps().holds.list_in_force()
    # A second one does not mix with what people look at.
    with pytest.raises(Refused, match="inspection is not empty"):
        restores.restore()


def test_a_moment_is_restored() -> None:
    captures = CaptureWorld()
    captures.world.seed(collections=1, documents=2)
    captures.seal()
    captures.capture()
    captures.database.write("rocketchat", "c0", {"_id": 1, "v": "later"})
    captures.capture()
    restores = Restores(captures.world)
    deps = restores.deps()
    until = SliceCatalogue(deps.catalogue).newest_moment()
    planned = plan_requested_restore(deps, "latest", until)
    assert f" until {until} into inspection" in planned.describe_binding("inspection")
    assert "all equal" in run_requested_restore(deps, planned, ListReporter())
    assert restores.target.contents() == captures.database.contents()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"addresses": ("memory:27017",)}, "inspection is the one that is backed up: memory"),
        ({"production": lambda: ("inspection",)}, "inspection is the one that is backed up"),
        ({"others": ("inspection:27017",)}, "inspection is the MongoDB of the drills"),
        ({"others": (), "production": lambda: ()}, "the one that is backed up: memory:27017"),
    ],
    ids=["by its URI", "by its own name", "that of the drills", "by the manifest"],
)
def test_it_never_goes_into_production_or_into_the_drills_server(restores, changes, told) -> None:
    if told.endswith("memory:27017"):  # the same server under another name: the manifest knows the old one
        restores.target = MemoryDatabase("memory:27017")
    planned = plan_requested_restore(Restores().deps(), "latest", None)
    for attempt in (
        lambda: plan_requested_restore(restores.deps(**changes), "latest", None),
        lambda: run_requested_restore(restores.deps(**changes), planned, ListReporter()),
    ):
        with pytest.raises(Refused, match=told):
            attempt()
    assert restores.target.contents() == {}


def test_without_the_key_or_with_another_nobody_is_asked_to_approve(restores) -> None:
    with pytest.raises(UsageError, match="GROUNDCREW_DRILL_KEY"):
        plan_requested_restore(restores.deps(identities=()), "latest", None)
    other = parse_identities(generate_identity(post_quantum=False)[0])
    with pytest.raises(Corrupt):
        plan_requested_restore(restores.deps(identities=other), "latest", None)
    with pytest.raises(NotFound):
        plan_requested_restore(restores.deps(), "daily/20200101T000000Z", None)


def test_an_approval_is_bound_to_set_manifest_moment_target_and_its_hosts(restores) -> None:
    planned = plan_requested_restore(restores.deps(), "latest", None)
    binding = planned.describe_binding("inspection")
    assert planned.reference in binding
    assert planned.verified.sha256 in binding
    assert binding.endswith("into inspection at inspection:27017")
    restores.target = MemoryDatabase("another:27017")
    deps = restores.deps(addresses=("another:27017",))
    assert plan_requested_restore(deps, "latest", None).describe_binding("inspection") != binding


def test_a_difference_from_the_backup_is_said_and_never_called_equal(restores) -> None:
    class Losing(MemoryDatabase):
        """Takes each document and keeps all but the first."""

        def insert_documents(self, db: str, collection: str, documents: list[bytes]) -> InsertResult:
            kept = documents if db == MARKER.db else documents[1:]
            return replace(super().insert_documents(db, collection, kept), inserted=len(documents))

    restores.target = Losing("inspection:27017")
    told = restores.restore()
    assert "it is NOT what was backed up: rocketchat.c0" in told
    assert "all equal" not in told


def test_killed_at_every_step_it_can_be_asked_for_anew() -> None:
    plan = FaultPlan()
    Restores().restore(plan)
    assert len(plan.steps) > 20
    for step in range(len(plan.steps)):
        restores, killing = Restores(), FaultPlan(Fault(Killed(), step=step, when="after"))
        with contextlib.suppress(Killed):
            restores.restore(killing)
            pytest.fail(f"survived step {step}: {killing.steps[step]}")
        restores.world.die()
        # After the last step nothing is left to do, and the data are people's by then.
        if restores.names() and MARKER.name not in restores.names():
            assert restores.names() == {"rocketchat.c0"}, killing.steps[step]
            continue
        assert "all equal" in restores.restore(), killing.steps[step]
        assert restores.names() == {"rocketchat.c0"}


def test_neither_a_drill_nor_a_restore_drops_what_the_other_one_marked(restores) -> None:
    ScratchClaim(restores.target, MARKER).take("x", ("rocketchat",))
    assert ScratchClaim(restores.target).clear() == []
    with pytest.raises(Refused, match="not empty"):
        ScratchClaim(restores.target).take("y", ())
    other = MemoryDatabase("b:27017")
    ScratchClaim(other).take("x", ("rocketchat",))
    assert ScratchClaim(other, MARKER).clear() == []
    assert any(isinstance(one, Namespace) for one in other.list_namespaces())


def test_addresses_of_targets_are_read_by_name_and_never_quoted() -> None:
    targets = parse_targets("a=mongodb://u:hunter2@h:1/?x=1 b=mongodb+srv://h")
    assert (targets["a"].reveal(), "hunter2" in repr(targets)) == ("mongodb://u:hunter2@h:1/?x=1", False)
    for text in ("mongodb://u:hunter2@h", "a=http://hunter2", "a=mongodb://h a=mongodb://hunter2"):
        with pytest.raises(UsageError) as refused:
            parse_setting(definitions.RESTORE_TARGETS, parse_targets, text)
        assert "hunter2" not in str(refused.value)


def test_what_was_erased_on_purpose_is_not_to_be_looked_at_either() -> None:
    restores = Restores()
    restores.world.database.write("rocketchat", "rocketchat_message", {"_id": "m1", "msg": "the words"})
    restores.world.database.write("rocketchat", "rocketchat_message", {"_id": "m2", "msg": "others"})
    restores.world.clock.advance(timedelta(days=1))
    restores.drills.seal()
    at = restores.world.clock.now()
    ledger = ErasureLedger(restores.world.state, restores.world.catalogue.trusted)
    ledger.add(Erasure(FORMAT, "message", "m1", at, at), SIGNER)
    assert "m1" not in restores.restore()
    left = restores.target.contents()["rocketchat.rocketchat_message"]
    assert [bson.decode(one)["_id"] for one in left] == ["m2"]
