"""A command from its delivery to its answer, and everything that may be wrong with either."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from local.fakes.faults import Fault, FaultPlan
from shared.chatops.job import answer_request, handle_request
from shared.chatops.model import ChatPlatform
from shared.chatops.readback import ChatUnreachable
from shared.kernel.errors import Locked, Refused, Unavailable
from tests.support.approvals import LAPTOP_KEYS

MINUTE = timedelta(minutes=1)


def code_of(answer: str) -> str:
    return re.findall(r"confirm ([0-9a-f]{8})", answer)[0]


def id_of(answer: str) -> str:
    return re.findall(r"approve ([0-9a-f]{16})", answer)[0]


def test_a_question_is_answered_in_the_thread(world) -> None:
    assert world.say("uAna", "status") == "```\nanswer to status\n```"


def test_help_shows_only_what_this_person_may_do_here(world) -> None:
    ana, eve = world.say("uAna", "help"), world.say("uEve", "help")
    assert "rollback REVISION" in ana
    assert "two people" in ana
    assert "rollback" not in eve
    assert "status" in eve


def test_what_no_rule_allows_is_refused(world) -> None:
    assert "do not allow eve up in rocketchat:GENERAL" in world.say("uEve", "up")
    assert "allow ana nothing in rocketchat:OTHER" in world.say("uAna", "up", room="rocketchat:OTHER")
    assert world.done == []


def test_an_unknown_user_is_told_which_id_to_link(world) -> None:
    answer = world.say("uMallory", "status")
    assert "nobody that policy.yaml knows: rocketchat:uMallory" in answer
    assert "answer to" not in answer


def test_a_name_counts_for_nothing(world) -> None:
    """Bob is called Ana, too."""
    assert "did up" in world.say("uBob", "up")
    assert world.done == ["up at revision 7 by bob"]


def test_what_harms_nobody_is_done_at_once_and_put_on_record(world) -> None:
    assert "did up until 22:00" in world.say("uAna", "keep it up until 22:00")
    assert world.outcomes() == ["ana chat.up did up until 22:00"]


def test_a_dry_run_changes_nothing(world) -> None:
    for text in ("up dry run", "down dry run", "rollback 3 dry run"):
        assert "would do" in world.say("uAna", text)
    assert world.done == []
    assert world.outcomes() == []


def test_what_stops_something_is_done_when_it_is_repeated_with_the_code_of_what_was_shown(world) -> None:
    shown = world.say("uAna", "down")
    assert "would do down at revision 7" in shown
    assert world.done == []
    assert "did down" in world.say("uAna", f"down confirm {code_of(shown)}")


@pytest.mark.parametrize("change", ["target", "person", "line", "time"])
def test_a_code_is_of_this_plan_for_this_person_and_for_a_while(world, change: str) -> None:
    code = code_of(world.say("uAna", "down"))
    user, text = "uAna", f"down confirm {code}"
    if change == "target":
        world.target = "revision 8"
    elif change == "person":
        user = "uBob"
    elif change == "line":
        text = f"down until 23:00 confirm {code}"
    else:
        world.clock.advance(21 * MINUTE)
    assert "not of this plan" in world.say(user, text)
    assert world.done == []


def test_a_code_is_good_for_at_least_ten_minutes(world) -> None:
    world.clock.advance(9 * MINUTE)  # the end of a window of ten
    code = code_of(world.say("uAna", "down"))
    world.clock.advance(9 * MINUTE)
    assert "did down" in world.say("uAna", f"down confirm {code}")


def test_a_code_is_good_in_the_room_it_was_shown_in(world) -> None:
    code = code_of(world.say("uAna", "down"))
    request = replace(world.message("uAna", f"down confirm {code}"), platform=ChatPlatform.WEB, room="web")
    assert "not of this plan" in answer_request(world.deps(), request).text


def test_two_people_do_what_cannot_be_undone(world) -> None:
    asked = world.say("uAna", "rollback 3")
    assert "another person's approval by 10:00Z" in asked
    assert world.done == []
    answer = world.say("uBob", f"approve {id_of(asked)}")
    assert "did rollback 3" in answer
    assert "requested by ana, approved by bob" in answer
    assert world.done == ["rollback 3 at revision 7 by ana"]
    assert [line.split(":")[0] for line in world.outcomes()] == [
        f"ana chat.rollback requested {id_of(asked)}",
        "bob approve approved for ana",
        "ana chat.rollback did rollback 3",
    ]


def test_an_approval_is_good_for_one_run(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    world.say("uBob", f"approve {asked}")
    assert "done already" in world.say("uBob", f"approve {asked}")
    assert "another person's approval" in world.say("uAna", "rollback 3")
    assert len(world.done) == 1


def test_the_requester_does_not_approve_through_another_platform(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    for platform, account, room in (
        (ChatPlatform.ROCKETCHAT, "rocketchat:uAna", "rocketchat:GENERAL"),
        (ChatPlatform.SLACK, "slack:T1/UANA", "slack:T1/C1"),
        (ChatPlatform.LAPTOP, "login:ana", "laptop"),
    ):
        request = world.message("uAna", f"approve {asked}")
        answer = answer_request(
            world.deps(), replace(request, platform=platform, accounts=(account,), room=room)
        )
        assert "must be different people" in answer.text
    assert world.done == []


def test_who_has_no_right_to_approve_does_not(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    assert "do not allow eve approve" in world.say("uEve", f"approve {asked}")
    assert world.done == []


def test_what_changed_since_is_not_done(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    world.target = "revision 8"
    answer = world.say("uBob", f"approve {asked}")
    assert "what was approved has changed since: target" in answer
    assert world.done == []
    assert world.outcomes()[-1] == f"ana chat.rollback refused: changed since {asked} was requested"
    world.target = "revision 7"
    assert "was denied: groundcrew" in world.say("uBob", f"approve {asked}")
    assert world.done == []


def test_an_approval_does_not_serve_another_command(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    world.approvals().approve(asked, by="bob")
    assert "another person's approval" in world.say("uAna", "rollback 4")
    assert "did rollback 3" in world.say("uAna", "rollback 3")


def test_a_request_that_nobody_made_in_the_chat_is_not_approved(world) -> None:
    """Whoever may write the state asks in ana's name, and has bob approve a number."""
    forged = world.approvals(LAPTOP_KEYS).request_approval(
        "chat.rollback", {"command": "rollback 3", "target": world.target}, by="ana", lasting=60 * MINUTE
    )
    assert "not signed by the app" in world.say("uBob", f"approve {forged.id}")
    assert world.done == []
    assert not world.approvals().find(forged.id).granted


def test_what_a_laptop_asked_for_is_approved_in_the_chat_and_done_where_it_was_asked(world) -> None:
    arguments = {"revision": "3", "restored": ""}
    asked = world.approvals(LAPTOP_KEYS).request_approval(
        "deploy.rollback", arguments, by="ana", lasting=60 * MINUTE
    )
    assert "who asked runs it" in world.say("uBob", f"approve {asked.id}")
    assert world.done == []
    assert world.approvals(LAPTOP_KEYS).find_granted("deploy.rollback", arguments) is not None


def test_an_approval_that_is_written_into_the_state_is_not_done(world) -> None:
    id_ = id_of(world.say("uAna", "rollback 3"))
    name = f"approvals/{id_}.json"
    fields = json.loads(world.state.read(name)[0])
    world.state.replace(name, json.dumps({**fields, "approver": "bob"}).encode(), etag=None)
    assert "needs another person's approval" in world.say("uAna", "rollback 3")
    assert world.done == []


def test_an_expired_request_cannot_be_approved(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    world.clock.advance(timedelta(hours=1))
    assert "has expired" in world.say("uBob", f"approve {asked}")
    assert world.done == []


def test_a_denied_request_is_over(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    assert "denied by bob" in world.say("uBob", f"deny {asked}")
    assert "was denied" in world.say("uBob", f"approve {asked}")
    assert world.done == []


def test_who_lost_the_right_meanwhile_gets_nothing_done(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    deps = world.deps()
    rules = tuple(replace(rule, who=frozenset({"bob"})) for rule in deps.rules[:1])
    answer = answer_request(replace(deps, rules=rules), world.message("uBob", f"approve {asked}"))
    assert "who asked runs it there" in answer.text
    assert world.done == []


def test_policy_may_want_two_people_for_more(world) -> None:
    world.two_people = frozenset({"down"})
    asked = id_of(world.say("uAna", "down"))
    assert "did down" in world.say("uBob", f"approve {asked}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"text": "!ops up until 23:00"}, "another text"),
        ({"user": "uBob"}, "another author"),
        ({"room": "OTHER"}, "another room"),
        ({"edited": True}, "edited"),
        ({"bot": True}, "posted by a bot"),
        ({"id": "m9"}, "another message"),
    ],
)
def test_what_the_chat_has_otherwise_on_record_is_not_done(world, change, told: str) -> None:
    request = world.message("uAna", "up")
    world.rooms.change(request.message, **change)
    handle_request(world.deps(), request)
    assert f"the chat's own message differs: {told}" in world.rooms.posts[-1].text
    assert world.done == []


@pytest.mark.parametrize(("ahead", "told"), [(-16, "too old"), (3, "from the future")])
def test_the_chats_own_time_of_the_message_counts(world, ahead: int, told: str) -> None:
    """Whoever has the token may write any timestamp beside the id of an old message."""
    request = world.message("uAna", "up")
    world.rooms.change(request.message, at=world.clock.now() + ahead * MINUTE)
    handle_request(world.deps(), request)
    assert told in world.rooms.posts[-1].text
    assert world.done == []


def test_a_message_that_the_chat_does_not_have_is_not_done(world) -> None:
    request = world.message("uAna", "up")
    del world.rooms.messages[request.message]
    handle_request(world.deps(), request)
    assert "the chat has no such message" in world.rooms.posts[-1].text
    assert world.done == []


def test_nothing_is_requested_approved_or_denied_by_a_message_that_the_chat_does_not_have(world) -> None:
    asked = id_of(world.say("uAna", "rollback 3"))
    for text in ("rollback 4", f"approve {asked}", f"deny {asked}"):
        request = world.message("uBob", text)
        del world.rooms.messages[request.message]
        handle_request(world.deps(), request)
        assert "the chat has no such message" in world.rooms.posts[-1].text
    (pending,) = world.deps().approvals.pending()
    assert (pending.id, pending.approver, world.done) == (asked, "", [])


def test_without_a_way_to_read_back_nothing_is_changed(world) -> None:
    deps = replace(world.deps(), rooms=None)
    assert "cannot be read back" in answer_request_with_readback(deps, world.message("uAna", "up"))
    assert world.done == []


def answer_request_with_readback(deps, request) -> str:
    handle_request(deps, request)
    return deps.notifications.told[-1].text


def test_while_the_chat_is_down_nothing_is_changed_and_it_is_tried_again(world) -> None:
    request = world.message("uAna", "up")
    world.rooms.down = True
    with pytest.raises(ChatUnreachable):
        handle_request(world.deps(), request)
    assert world.done == []
    world.rooms.down = False
    handle_request(world.deps(), request)
    assert world.done == ["up at revision 7 by ana"]


def test_when_the_chat_stays_down_its_sender_is_told_otherwise(world) -> None:
    request = world.message("uAna", "up")
    world.rooms.down = True
    assert handle_request(world.deps(), request, last_try=True) == "failed, answered by notification"
    assert "not done: the message cannot be read back" in world.notifications.told[0].text
    assert world.done == []


def test_what_was_done_is_not_done_again_because_the_answer_could_not_be_posted(world) -> None:
    request = replace(
        world.message("uAna", "up"), platform=ChatPlatform.SLACK, reply_url="https://hooks.slack.com/x"
    )
    request = replace(request, accounts=("slack:T1/UANA",), room="slack:T1/C1")
    world.hook.failure = Unavailable("Slack does not answer")
    with pytest.raises(Unavailable):
        handle_request(world.deps(), request)
    world.hook.failure = Refused("the address takes no answers any more")
    assert handle_request(world.deps(), request) == "done, answered by notification"
    assert len(world.done) == 1


def test_a_delivery_that_comes_again_is_answered_once(world) -> None:
    request = world.message("uAna", "up")
    handle_request(world.deps(), request)
    assert "answered already" in handle_request(world.deps(), request)
    assert len(world.done) == len(world.rooms.posts) == 1


def test_two_workers_do_not_answer_one_delivery(world) -> None:
    request = world.message("uAna", "up")
    with (
        world.state.lease(f"locks/chat/{world.deps().deliveries.claim(request).key}", duration=MINUTE),
        pytest.raises(Locked),
    ):
        handle_request(world.deps(), request)
    assert world.done == []


def test_what_was_interrupted_while_it_changed_something_is_told_and_not_repeated(world) -> None:
    request = world.message("uAna", "up")
    world.failure = KeyboardInterrupt()  # the worker is killed
    with pytest.raises(KeyboardInterrupt):
        handle_request(world.deps(), request)
    world.failure = None
    handle_request(world.deps(), request)
    assert "interrupted while it changed something" in world.rooms.posts[-1].text
    assert world.done == []


def test_a_command_that_waited_too_long_is_not_done(world) -> None:
    request = world.message("uAna", "up")
    world.clock.advance(16 * MINUTE)
    handle_request(world.deps(), request)
    assert "too old" in world.rooms.posts[-1].text
    assert world.done == []


def test_a_question_that_waited_too_long_is_not_answered_either(world) -> None:
    request = world.message("uAna", "status")
    world.clock.advance(16 * MINUTE)
    handle_request(world.deps(), request)
    assert "the command is too old: sent 2026-11-23 09:00Z" in world.rooms.posts[-1].text


def test_a_bug_is_answered_without_its_text(world) -> None:
    world.failure = ValueError("mongodb://user:password@host")
    answer = world.say("uAna", "up")
    assert "internal error (ValueError)" in answer
    assert "password" not in answer + str(world.outcomes())


def test_a_failure_is_told_and_put_on_record(world) -> None:
    world.failure = Unavailable("rollback failed", value="timed out")
    assert "failed: rollback failed: timed out" in world.say("uAna", "up")
    assert world.outcomes() == ["ana chat.up failed: rollback failed: timed out"]


def test_nothing_that_is_quoted_calls_anybody(world) -> None:
    answer = world.say("uAna", "@all ``` @here")
    assert answer.startswith("```\n")
    assert answer.endswith("\n```")
    assert answer.count("```") == 2


def test_old_records_are_removed_and_new_ones_stay(world) -> None:
    world.say("uAna", "status")
    world.clock.advance(timedelta(days=31))
    world.say("uAna", "status")
    assert world.deps().deliveries.remove_expired() == "removed 1 records of chat commands"


def test_what_was_done_is_not_called_failed_since_the_audit_trail_could_not_be_written(world) -> None:
    request = world.message("uAna", "up until 22:00")
    calm = FaultPlan()
    assert "done" in handle_request(world.deps(calm), request)
    # The entry of the trail is what is created next.
    step = calm.steps[: calm.steps.index("command.run")].count("state.create")
    again = world.message("uAna", "up until 23:00")
    plan = FaultPlan(Fault(Unavailable("503 ServerBusy"), operation="state.create", step=step, times=9))
    assert handle_request(world.deps(plan), again).startswith("done")
    answer = world.rooms.posts[-1].text
    assert "did up until 23:00" in answer
    assert "The audit trail could not be written: 503 ServerBusy" in answer
