"""Before a stop and after a start: what endangers the next start is told, and puts the stop off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.cloud.activity import ActivityEvent
from shared.cloud.machines import PowerState
from shared.power.boot_guard import address_changed, is_fatal_kernel, judge_guest
from shared.power.session import merge_facts

NOW = datetime(2026, 3, 2, 18, tzinfo=UTC)
KERNEL = (
    "groundcrew:kernel=6.8.0-1017-azure\ngroundcrew:next_kernel=6.19.3-1002-azure\n"
    "groundcrew:mongodb=docker.io/library/mongo:8.0.13\n"
)


@pytest.fixture
def evening(world, at):
    """The machine runs since the morning; it is 18:40."""
    world.add()
    world.run(at("7:10"))
    world.clock.set(at("18:40"))
    world.notifications.told.clear()
    return world


def test_a_kernel_that_would_kill_mongodb_is_told_and_puts_the_stop_off(evening, at) -> None:
    evening.check_says = KERNEL
    evening.run(at("23:00"))
    assert evening.power is PowerState.RUNNING
    (held,) = evening.job().inventory.holds.list_in_force()
    assert "6.19.3-1002-azure" in held.what
    titles = evening.notifications.titles
    assert sum("would kill MongoDB at the next start" in title for title in titles) == 1
    notice = next(n for n in evening.notifications.told if "would kill" in n.title)
    assert "apt-get remove linux-image-6.19.3-1002-azure" in notice.hint


def test_it_is_held_up_for_that_once(evening, at) -> None:
    evening.check_says = KERNEL
    evening.run(at("18:50"))
    evening.job().inventory.holds.release_hold("guest/rocketchat")
    evening.run(at("20:00"))
    assert evening.power is PowerState.DEALLOCATED


def test_a_machine_in_order_is_looked_at_once_an_evening_and_stopped(evening, at) -> None:
    evening.check_says = KERNEL.replace("6.19.3", "6.8.9")
    evening.run(at("19:10"))
    assert evening.checks == 1
    assert evening.power is PowerState.DEALLOCATED
    assert evening.notifications.titles == ["rocketchat stops at Mon 2026-03-02 19:00"]


def test_a_guest_that_cannot_be_looked_at_is_warned_and_stopped_all_the_same(evening, at) -> None:
    answer = evening.machines.on_command

    def hangs(machine: str, script: str):
        if "groundcrew: check" in script:
            raise TimeoutError
        return answer(machine, script)

    evening.machines.on_command = hangs
    evening.run(at("21:00"))
    assert evening.power is PowerState.DEALLOCATED


def test_a_store_that_was_put_back_is_told(evening, at) -> None:
    evening.run(at("19:10"))
    evening.start_says = "groundcrew:store_saved=/var/broken/x\ngroundcrew:store_restored=20260302T180000Z\n"
    evening.clock.set(at("6:55", 3))
    evening.run(at("7:30", 3))
    notice = next(n for n in evening.notifications.told if "store was broken" in n.title)
    assert "copy of 20260302T180000Z" in notice.text
    assert "/var/broken/x" in notice.text


def test_a_store_that_could_not_be_put_back_is_told_once(evening, at) -> None:
    evening.run(at("19:10"))
    evening.start_says = (
        "groundcrew:problem=the cluster store is broken, and there is no copy of it to put back\n"
    )
    evening.clock.set(at("6:55", 3))
    evening.run(at("7:30", 3))
    told = [n for n in evening.notifications.told if "store was broken" in n.title]
    assert len(told) == 1
    assert "no copy" in told[0].text


def test_another_address_after_a_start_is_told(evening, at) -> None:
    answer = evening.machines.on_command

    def addressed(machine: str, script: str):
        result = answer(machine, script)
        address = "10.0.0.4" if "groundcrew: stop" in script else "10.0.0.9"
        return type(result)(f"{result.stdout}groundcrew:address={address}\n", "", 0)

    evening.machines.on_command = addressed
    evening.run(at("19:10"))
    evening.clock.set(at("6:55", 3))
    evening.run(at("7:30", 3))
    assert "rocketchat has another address: 10.0.0.9 instead of 10.0.0.4" in evening.notifications.titles


def test_after_an_eviction_the_store_is_looked_at(evening, at) -> None:
    evening.clock.set(at("10:00"))
    evening.tick()
    event = ActivityEvent(at("10:01"), "microsoft.compute/virtualmachines/evictspotvm/action", "Succeeded")
    evening.activity.add(evening.id, event)
    evening.clock.set(at("10:02"))
    evening.machines.set_power(evening.id, PowerState.DEALLOCATED)
    evening.run(at("10:30"))
    assert evening.power is PowerState.RUNNING
    assert evening.scripts == ["start"]


@pytest.mark.parametrize(
    ("kernel", "image", "fatal"),
    [
        ("6.18.9-1001-azure", "mongo:8.0.13", False),
        ("6.19.0-1001-azure", "mongo:8.0.13", True),
        ("6.19", "mongo:8.0.13", True),
        ("7.0.13-1001-azure", "mongo:8.0.13", True),
        ("7.0.14-1001-azure", "mongo:8.0.13", False),
        ("7.1.0", "mongo:8.0.13", False),
        ("6.19.3", "mongo:7.0.24", False),
        ("6.19.3", "registry:5000/bitnamilegacy/mongodb:v8.0.13-debian-12-r0", True),
        ("6.19.3", "mongo:latest", True),
        ("6.19.3", "mongo@sha256:0123", True),
        ("6.19.3", "", True),
        ("", "mongo:8.0.13", False),
        ("unknown", "mongo:8.0.13", False),
    ],
)  # fmt: skip
def test_which_kernels_kill_which_mongodb(kernel: str, image: str, fatal: bool) -> None:
    assert is_fatal_kernel(kernel, image) is fatal


def certificate(name: str, ends: datetime) -> dict[str, str]:
    return {f"cert_{name}": f"{ends:%b} {ends.day:2} {ends:%H:%M:%S %Y} GMT"}


@pytest.mark.parametrize(
    ("days", "told"), [(22, None), (21, "ends on 2026-03-23"), (3, "ends on 2026-03-05"), (-1, "has ended")]
)
def test_microk8s_certificates_are_told_before_they_end(days: int, told: str | None) -> None:
    found = judge_guest(certificate("kubelet", NOW + timedelta(days=days)), NOW)
    assert [finding.title for finding in found] == (
        [f"MicroK8s' certificate kubelet.crt {told}"] if told else []
    )
    assert all("does not renew this one" in finding.hint and not finding.holds for finding in found)


def test_what_is_no_date_is_no_finding() -> None:
    assert judge_guest({"cert_server": "soon", "cert_ca": ""}, NOW) == []


def test_the_kernel_that_runs_already_is_no_finding() -> None:
    facts = {"kernel": "6.19.3", "next_kernel": "6.19.3", "mongodb": "mongo:8.0.13"}
    assert judge_guest(facts, NOW) == []
    assert judge_guest({**facts, "kernel": "6.8.0"}, NOW)[0].holds


def test_an_address_that_is_not_known_has_not_changed() -> None:
    assert not address_changed({}, {"address": "a"})
    assert not address_changed({"address": "a"}, {})
    assert not address_changed({"address": "a"}, {"address": "a"})
    assert address_changed({"address": "a"}, {"address": "b"})


def test_certificates_of_the_look_before_the_stop_outlive_what_the_stop_and_the_start_say() -> None:
    before = {"kernel": "6.8", "cert_kubelet": "soon", "collector": "reached", "copied": "x"}
    kept = {"cert_kubelet": "soon"}
    assert merge_facts(before, {"kernel": "6.9"}, keeps=("cert_",)) == kept | {"kernel": "6.9"}
    assert merge_facts(before, {"cert_kubelet": "later"}, keeps=("cert_",)) == {"cert_kubelet": "later"}
    assert merge_facts(before, {}, keeps=("cert_",)) == before
