"""What is overdue is run, one thing after the other, and none hides another."""

from __future__ import annotations

from shared.catch_up.job import run_jobs
from shared.kernel.errors import Locked, Unavailable


def test_one_that_fails_keeps_none_of_the_others_from_running_and_is_told() -> None:
    def fail() -> str:
        raise Unavailable("storage does not answer")

    caught = run_jobs({"backup": fail, "power": lambda: "2 machines as they should be"})
    assert caught.done == {"power": "2 machines as they should be"}
    assert caught.failed == {"backup": "storage does not answer"}


def test_what_somebody_else_is_at_is_no_failure() -> None:
    def locked() -> str:
        raise Locked("locks/backup is leased")

    caught = run_jobs({"backup": locked})
    assert not caught.failed
    assert "locks/backup" in caught.done["backup"]
