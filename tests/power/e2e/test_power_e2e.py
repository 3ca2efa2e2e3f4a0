"""From schedule to deallocated and back to healthy: real host, real SDK, real messages, Azure's stand-in."""

from __future__ import annotations

import pytest
import requests

from local.azure_rm.storage import StoredDisk, StoredSnapshot

pytestmark = pytest.mark.timeout(240)  # two cores, and each process imports Azure's SDK


def test_it_is_warned_of_stopped_woken_by_the_page_and_well_again(site, until) -> None:
    courier = site.azure.subscribe(site.host.event_grid_url("on_vm_event"))
    # No window says that it should be up: the timer warns, waits for the warning to be over, and stops.
    until(lambda: site.vm.power == "deallocated", "the machine to be deallocated by its schedule")
    assert any("rocketchat stops at" in text and "!ops power up rocketchat" in text for text in site.heard())
    assert [script for _, script in site.azure.guest.scripts if "microk8s stop" in script]
    assert len(site.azure.requests("POST .*/deallocate")) == 1

    page = site.get()
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "deallocated" in page.text
    assert "ana@example.org" in page.text
    answer = site.post(token=site.token(), machine="rocketchat", hours="2")
    assert (answer.status_code, answer.headers["Location"]) == (303, "wake")
    until(lambda: site.vm.power == "running", "the machine to run")
    until(lambda: any("rocketchat is up after" in text for text in site.heard()), "people to be told")
    until(lambda: "Keep it up" in site.get().text, "the page to say that it is up")
    assert len(site.azure.requests("POST .*/start")) == 1
    told = [text for text in site.heard() if "rocketchat is up after" in text]
    assert len(told) == 1
    assert "Rocket.Chat 8.2 is ready" in told[0]

    (shown,) = site.cli("power", "status")
    assert (shown["state"], shown["desired"], shown["act"]) == ("running", "up", "none")
    assert "order of ana@example.org: up until" in shown["reasons"][0]
    assert "rocketchat" in site.say("power", "status")
    assert {span["up"] for span in site.cli("power", "plan", "--days", "2")} == {True, False}
    # A plan asks neither Azure nor MongoDB nor the storage of backups, and waits for none of their libraries.
    modules = site.modules_after("power", "plan")
    assert "shared.adapters.blobs" in modules
    slow = {"apprise", "azure.mgmt.core", "requests", "pymongo", "shared.formats.manifest", "shared.restore"}
    assert modules & slow == set()
    record = site.blob("power/machines/rocketchat.json")
    assert [(a["act"], a["outcome"]) for a in record["history"]][-2:] == [("stop", "done"), ("start", "done")]
    assert [event for event in courier.delivered if event["data"]["operationName"].endswith("start/action")]
    assert not courier.refused
    assert not site.host.child.tail().count("Traceback")


def test_the_night_of_a_machine_that_is_off_on_purpose_does_not_fail(site, until) -> None:
    until(lambda: site.vm.power == "deallocated", "the machine to be deallocated by its schedule")
    site.run("nightly_backup")
    until(lambda: site.logged("nightly_backup"), "the timer's function")
    (line,) = site.logged("nightly_backup")
    assert line["done"].startswith("skipped: rocketchat is off (")
    assert not [line for line in site.logged("function_failed") if "nightly_backup" in str(line)]

    site.azure.set_power(site.vm, "running")  # not by Groundcrew: now a failure is a failure
    site.run("nightly_backup")
    until(lambda: [one for one in site.logged("function_failed") if "nightly" in str(one)], "the failure")


def test_no_capacity_is_told_with_other_sizes_and_a_storm_of_429_passes(site, until) -> None:
    until(lambda: site.vm.power == "deallocated", "the machine to be deallocated by its schedule")
    site.azure.faults.fail_operation("virtualMachines/start", "AllocationFailed")
    site.azure.faults.throttle(times=3, retry_after=1, match="statusOnly")
    site.cli("power", "up", "rocketchat", "--for", "2h")
    until(lambda: any("AllocationFailed" in text for text in site.heard()), "people to be told of it")
    (told,) = [text for text in site.heard() if "AllocationFailed" in text]
    assert "Standard_D4as_v5" in told
    assert len(site.azure.requests("POST .*/start")) == 1  # the next try comes after a pause


def test_snapshots_are_taken_by_the_timer_and_the_report_of_cost_reads_the_ledger(site, until) -> None:
    # Off first: a snapshot of a running machine is "crash", and either timer may come first.
    until(lambda: site.vm.power == "deallocated", "the machine to be deallocated by its schedule")
    site.azure.add_snapshot("others", site.azure.add_disk("data", tags={"groundcrew": "snapshot"}))
    site.run("snapshot_cycle")
    until(lambda: len(site.azure.world.listing(StoredSnapshot, "rocketchat")) == 2, "the snapshot")
    shown = site.cli("snapshots", "run", "--dry-run")
    assert shown["take"] == []
    assert "newest good snapshot is from" in shown["skip"][0]["reason"]
    by_name = {row["snapshot"]: row for row in shown["snapshots"]}
    assert "not made by Groundcrew" in by_name.pop("others")["reasons"]
    (name,) = by_name
    snapshots = site.azure.world.listing(StoredSnapshot, "rocketchat")
    (taken,) = [each for each in snapshots if each.name.lower() == name.lower()]
    assert taken.incremental
    assert taken.tags["groundcrew-owner"] == "groundcrew"
    # Made as "crash", and called "off" once it is proven that the machine was off all the while.
    until(lambda: taken.tags["groundcrew-consistency"] == "off", "the verdict on its consistency")

    until(lambda: "groundcrew-proven" in taken.tags, "the check of the week")
    assert len(site.azure.requests("PUT .*/disks/")) == 1
    assert "nothing was changed" in site.say("snapshots", "check")
    assert len(site.azure.requests("PUT .*/disks/")) == 1
    # One for its consistency, one for the check.
    assert len(site.azure.requests("PATCH .*/snapshots/")) == 2
    checked = site.cli("snapshots", "check", "--yes")
    (one,) = checked["checks"]
    assert (one["snapshot"], one["proven"], one["problems"]) == (taken.name, True, [])
    assert (one["price"], one["missing"]) == ("S10 LRS Disk", "")
    assert 0 < float(one["costs_at_most"]) < 0.1
    made = site.azure.requests("PUT .*/disks/")
    assert [each.body["tags"]["groundcrew-check"] for each in made] == [one["snapshot"]] * 2
    created = {each.path.rpartition("/")[2] for each in made}
    until(
        lambda: not created & {d.name for d in site.azure.world.listing(StoredDisk)}, "the disks to be gone"
    )
    assert taken.tags["groundcrew-owner"] == "groundcrew"

    site.azure.add_address("rocketchat-ip", held_by="/nic")
    report = site.cli("cost", "report", "--days", "1")
    (machine,) = report["machines"]
    assert machine["machine"] == "rocketchat"
    assert float(machine["cost"]) > 0
    assert report["fixed_costs"]["disk"] is not None
    assert float(report["fixed_costs"]["address"]) > 0
    assert report["missing"] == []
    assert any("the ledger knows nothing" in note for note in report["notes"])
    assert "2 kept, 0 removed" in site.say("snapshots", "list")


def test_the_page_refuses_strangers_old_pages_and_other_sites(site) -> None:
    url = f"{site.host.url}/api/wake"
    stranger = requests.get(url, timeout=20)
    assert stranger.status_code == 401
    assert "rocketchat" not in stranger.text
    assert requests.post(url, data={"machine": "rocketchat", "hours": "2"}, timeout=20).status_code == 401
    token = site.token()
    for form in (
        {"machine": "rocketchat", "hours": "2"},
        {"machine": "rocketchat", "hours": "2", "token": token[:-1] + ("0" if token[-1] != "0" else "1")},
        {"machine": "rocketchat", "hours": "2", "token": f"9999999999.{token.partition('.')[2]}"},
    ):
        assert site.post(**form).status_code == 403
    assert site.post(token=token, machine="rocketchat", hours="9000").status_code == 400
    assert site.post(token=token, machine="another", hours="2").status_code == 400
    assert not site.azure.requests("POST .*/start")
