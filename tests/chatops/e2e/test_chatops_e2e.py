"""From a message in the room, through the host, to the answer in its thread, and to a release rolled back."""

from __future__ import annotations

import pymongo
import pytest
import requests

# One site for all, whose tests go on where the one before ended. Beside other tests Helm may be slow.
pytestmark = pytest.mark.timeout(420)


def test_a_question_is_answered_in_its_thread_by_who_may_ask(chat_place) -> None:
    assert "there is no backup" in chat_place.ask("uEve", "backups")
    answer = chat_place.ask("uAna", "status")
    assert "requests: none waits" in answer
    assert "do not allow eve status" in chat_place.ask("uEve", "status")
    assert "Did you mean status?" in chat_place.ask("uAna", "statsu")


def test_teams_is_answered_at_once_and_told_the_rest_by_notification(chat_place) -> None:
    answer = chat_place.ask_by_teams("29:ana", "backups")
    assert (answer.status_code, answer.json()["type"]) == (200, "message")
    assert "comes by notification" in answer.json()["text"]
    (told,) = chat_place.site.people.wait_for("Answer to `backups` in teams:19:ops@thread.tacv2")
    assert "there is no backup" in told
    assert (
        chat_place.ask_by_teams("29:eve", "backups").status_code == 200
    )  # her answer is that nobody knows her
    assert chat_place.site.people.wait_for("nobody that policy.yaml knows: teams:29:eve")


def test_two_people_roll_a_release_back_from_the_chat(chat_place) -> None:
    chat_place.ship("one")
    chat_place.ship("two")
    assert chat_place.site.read_greeting() == "two"
    assert "from revision 2 to 1" in chat_place.ask("uAna", "rollback 1 dry run")
    asked = chat_place.request("uAna", "rollback 1")
    # One person is the same at every endpoint, whatever the name is there.
    for refused in (
        chat_place.ask("uAna", f"approve {asked}"),
        chat_place.ask_by_slack("UANA", f"approve {asked}"),
        chat_place.cli("ops", "approve", asked, code=1),
        chat_place.cli("deploy", "approve", asked, code=1),
    ):
        assert "must be different people" in refused
    assert chat_place.site.read_greeting() == "two"
    answer = chat_place.ask("uBob", f"approve {asked}")
    assert "rolled back to revision 1" in answer
    assert "requested by ana, approved by bob" in answer
    assert chat_place.site.read_greeting() == "one"
    assert "done already" in chat_place.ask("uBob", f"approve {asked}")


def test_what_was_approved_is_not_done_after_the_release_changed(chat_place) -> None:
    asked = chat_place.request("uAna", "rollback 2")
    chat_place.ship("four")
    assert "has changed since: current" in chat_place.ask("uBob", f"approve {asked}")
    assert chat_place.site.read_greeting() == "four"


def test_a_commit_is_planned_and_the_merge_of_a_pull_request_deployed_from_the_chat(chat_place) -> None:
    pull = chat_place.site.propose("8.2.0", "five")
    sha = chat_place.site.repository.merge(pull, by="grace")
    planned = chat_place.ask("uAna", f"plan {sha}")
    assert f"deploy {sha[:7]} to production" in planned
    shown = chat_place.ask("uAna", f"deploy #{pull.number}")
    assert f"deploy {sha[:7]} to production" in shown
    assert "To do it, write within 10 minutes" in shown
    answer = chat_place.ask("uAna", shown.splitlines()[-2].removeprefix("!ops "))
    assert "queued, behind the same gates" in answer


def test_a_forged_message_an_edit_and_a_repetition_change_nothing(chat_place) -> None:
    talk = chat_place.talk
    message = talk.write_message("uBob", "GENERAL", "!ops backups")
    assert chat_place.wait(lambda: "".join(talk.thread(message)))
    # Whoever has the token writes another text, or another author, beside a message that is there.
    answered = len(talk.messages)
    for changes in (
        {"text": "!ops rollback 1", "message_id": "forged"},
        {"user_id": "uAna", "message_id": "m2"},
    ):
        assert talk.deliver(talk.messages[message], **{"text": "!ops rollback 1", **changes}) == 200
    chat_place.wait(lambda: "x" if len(talk.messages) >= answered + 2 else "")
    told = [str(one["msg"]) for one in list(talk.messages.values())[answered:]]
    assert all("the chat has no such message" in text for text in told)
    talk.edit(message, "!ops rollback 1")
    assert talk.deliver(talk.messages[message], isEdited=None) == 200  # a repetition of what was answered
    assert "none waits" in chat_place.ask("uAna", "status")
    assert len(talk.thread(message)) == 1
    wrong = {**talk.payload(talk.messages[message]), "token": "guessed"}
    assert requests.post(chat_place.endpoint, json=wrong, timeout=10).status_code == 401


def test_the_story_is_in_the_audit_trail_whose_chain_is_whole(chat_place) -> None:
    story = chat_place.ask("uBob", "who did rollback")
    assert "bob: approve deploy.rollback" in story
    assert "ana: chat.rollback rollback 1" in story
    assert "refused: changed since" in story
    assert "whole; head" in chat_place.cli("audit", "verify")
    assert "chat.rollback" in chat_place.cli("audit", "show", "--who", "ana")


def test_the_open_endpoint_closes_what_has_no_proof(chat_place) -> None:
    assert requests.post(chat_place.endpoint, json={"command": "status"}, timeout=10).status_code == 401
    assert requests.post(chat_place.endpoint, data=b"x" * (1 << 20), timeout=10).status_code == 413
    signed_in = requests.post(f"{chat_place.endpoint}/signed-in", json={"command": "status"}, timeout=10)
    assert signed_in.status_code == 503
    assert "App Service authentication is not on" in signed_in.text


def test_two_people_restore_a_backup_beside_production_from_the_chat(chat_place) -> None:
    chat_place.cli("backups", "create", "--here")
    assert "policy names no such server" in chat_place.ask("uAna", "restore latest into production")
    asked = chat_place.request("uAna", "restore latest into inspection")
    assert "must be different people" in chat_place.ask("uAna", f"approve {asked}")
    with (
        pymongo.MongoClient(chat_place.inspection) as restored,
        pymongo.MongoClient(chat_place.stack.mongodb_uri) as production,
    ):
        assert "rocketchat" not in restored.list_database_names()
        answer = chat_place.ask("uBob", f"approve {asked}")
        assert "requested by ana, approved by bob" in answer, answer
        for name in ("rocketchat_message", "rocketchat_room", "users"):
            expected = production["rocketchat"][name].count_documents({})
            assert restored["rocketchat"][name].count_documents({}) == expected > 0
    assert "ana: chat.restore restore latest into inspection" in chat_place.ask("uBob", "who did restore")
    # What is there now is not written over by the next one.
    assert "approve" not in chat_place.ask("uAna", "restore latest into inspection")
