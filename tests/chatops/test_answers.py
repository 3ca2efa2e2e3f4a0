"""Who may read the answer to a command that was given at the page."""

from __future__ import annotations

from dataclasses import replace

from local.app_service import principal_header
from shared.chatops.answers import read_answer
from shared.chatops.model import ChatPlatform, ChatRequest
from shared.web.signin import PageAccess

ANA, EVE = "0a000000-0000-0000-0000-00000000000a", "0e000000-0000-0000-0000-00000000000e"
ACCESS = PageAccess("app-service")


def headers(person: str) -> dict[str, str]:
    return {name.lower(): value for name, value in principal_header(id_=person).items()}


def test_an_answer_is_for_who_asked_by_the_id_that_does_not_change(world) -> None:
    deps, accounts = world.deps(), (f"aad:{ANA}", "aad:ana@example.org", "group:crew")
    record = deps.deliveries.claim(
        ChatRequest(ChatPlatform.WEB, "d", accounts, "web", "status", world.clock.now())
    )
    assert read_answer(deps, ACCESS, headers(ANA), record.key) == (202, {"state": "running"})
    deps.deliveries.save(replace(record, answer="all is well", outcome="answered"))
    assert read_answer(deps, ACCESS, headers(ANA), record.key)[1] == {
        "state": "answered",
        "answer": "all is well",
    }
    # Eve signs in by the name that was Ana's.
    assert read_answer(deps, ACCESS, headers(EVE), record.key)[0] == 404
    assert read_answer(deps, ACCESS, {}, record.key)[0] == 401
    assert read_answer(deps, PageAccess("none"), headers(ANA), record.key)[0] == 401


def test_what_is_no_key_is_no_command(world) -> None:
    for key in ("", "0" * 32, "../approvals/x", "A" * 32):
        assert read_answer(world.deps(), ACCESS, headers(ANA), key)[0] == 404
