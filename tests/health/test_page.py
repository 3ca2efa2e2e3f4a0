"""The page of health: for whom it is, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from local.app_service import principal_header
from local.fakes.clock import ManualClock
from shared.health.job import HealthMonitor
from shared.health.page import HealthPage, render_page
from shared.kernel.errors import Unavailable
from shared.web.signin import APP_SERVICE, NO_SIGN_IN, PageAccess


def page_of(checks: Mapping[str, Callable[[], str]], access: PageAccess | None = None) -> HealthPage:
    return HealthPage(
        HealthMonitor(lambda: checks, ManualClock()), access or PageAccess(APP_SERVICE, view=("1234",))
    )


def signed_in(id_: str = "1234") -> dict[str, str]:
    return {name.lower(): value for name, value in principal_header(id_=id_).items()}


def failing() -> str:
    raise Unavailable("cannot reach <storage>", value="a secret place")


def test_who_is_named_sees_what_fails_first_and_no_value() -> None:
    answer = render_page(page_of({"a": lambda: "fine & well", "z": failing}), signed_in())
    assert answer.status == 503
    assert "1 of 2 checks fail" in answer.body
    assert answer.body.index("z: cannot reach &lt;storage&gt;") < answer.body.index("a: fine &amp; well")
    assert "a secret place" not in answer.body
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_report_without_a_failure_says_so() -> None:
    answer = render_page(page_of({"a": lambda: "fine"}), signed_in())
    assert (answer.status, "1 checks pass" in answer.body) == (200, True)


@pytest.mark.parametrize(
    ("headers", "access", "status"),
    [
        ({}, PageAccess(APP_SERVICE, view=("1234",)), 401),
        (signed_in("somebody else"), PageAccess(APP_SERVICE, view=("1234",)), 403),
        (signed_in(), PageAccess(APP_SERVICE), 403),
        (signed_in(), PageAccess("", "the settings contradict the platform", ("1234",)), 401),
    ],
)
def test_nobody_else_sees_it_nor_starts_a_check(
    headers: dict[str, str], access: PageAccess, status: int
) -> None:
    started: list[str] = []

    def note() -> str:
        started.append("check")
        return "fine"

    answer = render_page(page_of({"a": note}, access), headers)
    assert (answer.status, started) == (status, [])
    assert "fine" not in answer.body


def test_on_ones_own_machine_nobody_signs_in() -> None:
    assert render_page(page_of({"a": lambda: "fine"}, PageAccess(NO_SIGN_IN)), {}).status == 200
