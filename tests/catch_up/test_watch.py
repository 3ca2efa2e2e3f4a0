"""Jobs whose settings are wrong and messages that failed for good are notified, with nothing but storage."""

from __future__ import annotations

from datetime import timedelta

import pytest

from local.fakes.clock import ManualClock
from local.fakes.notifications import MemoryNotifications
from local.fakes.queues import MemoryQueues
from shared.catch_up.watch import notify_bad_settings, report_poison_queues, report_settings
from shared.kernel.errors import UsageError


def broken() -> None:
    raise UsageError("GROUNDCREW_GITHUB_APP_KEY is no PEM file")


def test_a_job_that_cannot_run_is_notified_once_and_named_until_it_can() -> None:
    people = MemoryNotifications()
    for _ in range(3):
        with pytest.raises(UsageError, match="deploys") as caught:
            report_settings({"backup": lambda: 1, "deploys": broken}, people)
        assert "GROUNDCREW_GITHUB_APP_KEY" in str(caught.value)
    assert people.titles == ["deploys cannot run"]
    assert "GROUNDCREW_GITHUB_APP_KEY" in people.told[0].text


def test_once_it_could_run_it_is_notified_anew() -> None:
    people = MemoryNotifications()
    for _ in range(2):
        with pytest.raises(UsageError):
            report_settings({"backup": int, "deploys": broken}, people)
        assert "2 jobs" in report_settings({"backup": int, "deploys": int}, people)
        assert "2 jobs" in report_settings({"backup": int, "deploys": int}, people)
    assert people.titles == ["deploys cannot run", "deploys can run again"] * 2


def test_each_job_is_checked_though_another_fails_and_people_cannot_be_reached() -> None:
    people = MemoryNotifications()
    people.down = True
    with pytest.raises(UsageError, match="backup, power"):
        report_settings({"backup": broken, "power": broken}, people)
    people.down = False
    notify_bad_settings(people, "backup", UsageError("x"))
    assert people.titles == ["backup cannot run"]


def test_messages_of_each_poison_queue_are_notified_while_they_are_there() -> None:
    clock = ManualClock()
    queues, people = MemoryQueues(clock), MemoryNotifications(clock)
    names = ("backup-parts", "deploys")
    assert report_poison_queues(queues, people, names) == "no poison queue holds a message"
    queues.send("deploys", "x")
    queues.send("deploys-poison", "x")
    assert report_poison_queues(queues, people, names) == "1 message in poison queue deploys-poison"
    queues.send("deploys-poison", "y")
    queues.send("backup-parts-poison", "z")
    done = report_poison_queues(queues, people, names)
    assert done == "1 message in poison queue backup-parts-poison; 2 messages in poison queue deploys-poison"
    assert [title.partition(":")[0] for title in people.titles] == ["deploys", "backup-parts"]
    clock.advance(timedelta(days=1))
    report_poison_queues(queues, people, names)
    assert len(people.told) == 4


def test_a_bug_in_what_one_job_needs_is_notified_too_and_keeps_no_other_from_being_checked() -> None:
    def crashes() -> None:
        raise TypeError("an unexpected keyword")

    people = MemoryNotifications()
    with pytest.raises(UsageError, match="cost, deploys"):
        report_settings({"cost": crashes, "deploys": broken}, people)
    assert people.titles == ["cost cannot run", "deploys cannot run"]
    assert "internal error (TypeError)" in people.told[0].text
