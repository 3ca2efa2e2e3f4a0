"""The drill opens the cluster's state of a set, too, and says what it is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.backup.rewrap import rewrap_set
from shared.cluster_state.check import StateChecks
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.proofs import FAILED, PROVEN
from shared.kernel.errors import Unavailable, UsageError
from shared.restore.drill.job import describe_drill
from shared.wiring.cluster_state import validate_objects
from tests.support.cluster_objects import PASSWORD
from tests.support.drill_world import DrillWorld
from tests.support.state_world import StateWorld


@pytest.fixture
def drills() -> DrillWorld:
    world = StateWorld()
    world.seed()
    made = DrillWorld(world)
    made.seal()
    return made


def checks(drills: DrillWorld) -> StateChecks:
    world = drills.world
    assert isinstance(world, StateWorld)
    return StateChecks(validate_objects, lambda: world.cluster, world.read_state)


def test_a_drill_tells_what_the_state_is_worth_and_signs_it(drills: DrillWorld) -> None:
    proof = drills.drill(state_checks=checks(drills))
    assert proof.outcome == PROVEN
    assert proof.cluster_state == "7 objects valid; 8 as in the cluster; dry run: 7 taken"
    assert "Checking the cluster's state" in [phase.name for phase in proof.phases]
    assert drills.records.last == proof
    (told,) = drills.notifications.told
    assert f"Cluster state: {proof.cluster_state}" in told.text


def test_a_state_that_cannot_be_applied_fails_the_drill_and_names_the_object(drills: DrillWorld) -> None:
    world = drills.world
    assert isinstance(world, StateWorld)
    world.cluster.refusals["Secret smtp"] = UsageError("the cluster does not understand", value=PASSWORD)
    proof = drills.drill(state_checks=checks(drills))
    assert (proof.outcome, proof.problem) == (
        FAILED, "cluster state: Secret rocketchat/smtp: the cluster does not take it",
    )  # fmt: skip
    assert drills.begun  # a new backup
    assert PASSWORD not in describe_drill(proof)


def test_a_cluster_that_is_away_fails_no_drill(drills: DrillWorld) -> None:
    away = replace(checks(drills), connect=_fail)
    proof = drills.drill(state_checks=away)
    assert proof.outcome == PROVEN
    assert "not compared with the cluster" in proof.cluster_state


def _fail() -> StateWorld:
    raise Unavailable("the cluster does not answer")


def test_a_drill_key_that_is_newer_than_the_set_opens_its_state_too(drills: DrillWorld) -> None:
    secret, public = generate_identity(post_quantum=False)
    manifest = drills.world.manifest(drills.world.sealed()[0])
    assert rewrap_set(drills.world.backups, manifest, drills.world.identities, [public])
    proof = drills.drill(identities=parse_identities(secret), state_checks=checks(drills))
    assert (proof.outcome, proof.problem) == (PROVEN, "")
    assert proof.cluster_state.startswith("7 objects valid")


def test_a_damaged_state_fails_the_drill(drills: DrillWorld) -> None:
    (info,) = drills.world.sealed()
    (extra,) = drills.world.manifest(info).extra_parts
    blob = info.folder + extra.blob
    data = bytearray(drills.world.backups.read(blob)[0])
    data[-1] ^= 1
    # Under its old name and time, which only reading it shows.
    drills.world.backups.replace(blob, bytes(data), etag=None)
    proof = drills.drill(state_checks=checks(drills))
    assert proof.outcome == FAILED
    assert extra.blob in proof.problem


def test_the_proof_of_a_set_without_state_is_written_as_ever(drills: DrillWorld) -> None:
    proof = drills.drill(state_checks=None)
    assert proof.cluster_state == ""
    (blob,) = drills.world.state.list("proofs/")
    assert b"cluster_state" not in drills.world.state.read(blob.name)[0]
    assert "Cluster state" not in drills.notifications.told[0].text
