"""Two people: who counts as another one, over every platform, and what an approval is good for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from shared.formats.manifest import Signer
from shared.kernel.errors import Corrupt, NotFound, Refused, UsageError
from shared.records.approval_keys import ApprovalKeys
from shared.records.approvals import Approval, Approvals, describe_how_to_approve
from shared.records.people import KnownPerson, PeopleDirectory
from tests.support.approvals import APP_KEYS, LAPTOP_KEYS, SIGNER, make_approvals

HOUR = timedelta(hours=1)
ANA = KnownPerson(
    "ana", "Ana", frozenset({"operator"}), frozenset({"rocketchat:aBc", "github:1", "login:ana"})
)
BOB = KnownPerson("bob", "Ana", frozenset(), frozenset({"rocketchat:dEf"}))
PEOPLE = PeopleDirectory((ANA, BOB))


@pytest.fixture
def approvals() -> Approvals:
    clock = ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC))
    return make_approvals(MemoryBlobs(clock), clock, PEOPLE)


def test_one_person_is_the_same_at_every_platform_and_two_of_one_name_are_two() -> None:
    assert PEOPLE.actor_of("rocketchat:aBc") == PEOPLE.actor_of("github:1") == "ana"
    assert PEOPLE.actor_of("rocketchat:dEf") == "bob"
    assert PEOPLE.actor_of("rocketchat:abc") == "rocketchat:abc"
    assert PEOPLE.find_by_accounts(["aad:nobody"]) is None


def test_a_sign_in_that_belongs_to_two_people_is_refused() -> None:
    with pytest.raises(Refused, match="several people: ana and bob"):
        PEOPLE.find_by_accounts(["github:1", "rocketchat:dEf"])


def test_a_rule_names_people_by_id_or_role_and_never_by_name() -> None:
    assert ANA.is_called("ana")
    assert ANA.is_called("role:operator")
    assert not ANA.is_called("operator")
    assert not ANA.is_called("role:ana")
    assert not BOB.is_called("Ana")
    assert not BOB.is_called("role:operator")


def test_the_requester_cannot_approve_and_another_person_can(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {"a": "1"}, by="ana", lasting=HOUR)
    with pytest.raises(Refused, match="must be different people"):
        approvals.approve(asked.id, by=PEOPLE.actor_of("github:1"))
    assert approvals.find_granted("x", {"a": "1"}) is None
    approvals.approve(asked.id, by="bob")
    assert approvals.find_granted("x", {"a": "1"}) is not None
    assert approvals.find_granted("x", {"a": "2"}) is None


def test_an_account_of_nobody_neither_approves_nor_is_approved(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    with pytest.raises(Refused, match="cannot approve: login:root"):
        approvals.approve(asked.id, by="login:root")
    unlinked = approvals.request_approval("x", {}, by="login:root", lasting=HOUR)
    with pytest.raises(Refused, match="cannot be approved: login:root"):
        approvals.approve(unlinked.id, by="ana")


def test_without_people_in_the_policy_names_are_compared_as_before() -> None:
    PeopleDirectory().require_other_person("ada", "grace")
    with pytest.raises(Refused, match="different people"):
        PeopleDirectory().require_other_person("ada", "ada")


def test_an_approval_that_names_its_requester_as_the_approver_is_none(approvals: Approvals) -> None:
    """Whoever may write the blob may write that."""
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")
    blobs = approvals._blobs
    name = f"approvals/{asked.id}.json"
    fields = json.loads(blobs.read(name)[0])
    blobs.replace(name, json.dumps({**fields, "approver": "ana"}).encode(), etag=None)
    assert approvals.find_granted("x", {}) is None
    assert approvals.consume_approval("x", {}) is None


def test_what_the_requester_approved_is_none_though_it_is_signed(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    signed = APP_KEYS.sign(["approval", "x", {}, "ana", asked.expires.isoformat(), "ana"])
    _rewrite(approvals, asked.id, approver="ana", approval_signature=signed)
    assert approvals.find(asked.id).approver == "ana", "the signature is the app's"
    assert approvals.find_granted("x", {}) is None
    assert approvals.consume_approval("x", {}) is None


def test_what_was_used_is_found_no_more_nor_is_a_copy_of_it(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")
    copy = approvals._blobs.read(f"approvals/{asked.id}.json")[0]
    assert approvals.consume_approval("x", {}) is not None
    assert approvals.find_granted("x", {}) is None
    assert approvals.consume_approval("x", {}) is None
    assert approvals.pending() == []
    # Whoever may write may keep it under another name.
    approvals._blobs.create(f"approvals/{'f' * 16}.json", copy)
    assert approvals.find_granted("x", {}) is None
    assert approvals.consume_approval("x", {}) is None


def _rewrite(approvals: Approvals, identity: str, **changes: object) -> None:
    """What whoever may write to the container can do."""
    name = f"approvals/{identity}.json"
    fields = json.loads(approvals._blobs.read(name)[0])
    approvals._blobs.replace(name, json.dumps({**fields, **changes}).encode(), etag=None)


def test_an_approval_that_nobody_signed_is_none_and_the_request_can_still_be_approved(
    approvals: Approvals,
) -> None:
    asked = approvals.request_approval("x", {"a": "1"}, by="ana", lasting=HOUR)
    foreign = ApprovalKeys(Signer.generate()).sign(["approval", "x"])
    for signature in ("", "x", "AAAA", "é", foreign):
        _rewrite(approvals, asked.id, approver="bob", approval_signature=signature)
        assert approvals.find_granted("x", {"a": "1"}) is None
        assert approvals.consume_approval("x", {"a": "1"}) is None
        assert approvals.find(asked.id).approver == ""
    assert approvals.approve(asked.id, by="bob").granted
    assert approvals.consume_approval("x", {"a": "1"}) is not None


def test_a_signature_is_of_this_request_and_this_approver(approvals: Approvals) -> None:
    first = approvals.request_approval("x", {"a": "1"}, by="ana", lasting=HOUR)
    second = approvals.request_approval("x", {"a": "2"}, by="ana", lasting=HOUR)
    signature = approvals.approve(first.id, by="bob").approval_signature
    _rewrite(approvals, second.id, approver="bob", approval_signature=signature)
    assert approvals.find_granted("x", {"a": "2"}) is None
    # The signature of the request is none of its approval.
    _rewrite(approvals, second.id, approver="bob", approval_signature=second.request_signature)
    assert approvals.find_granted("x", {"a": "2"}) is None
    _rewrite(approvals, first.id, approver="eve")
    assert approvals.find_granted("x", {"a": "1"}) is None


def test_a_machine_without_the_key_asks_and_sees_but_does_not_approve(approvals: Approvals) -> None:
    laptop = make_approvals(approvals._blobs, approvals._clock, PEOPLE, LAPTOP_KEYS)
    asked = laptop.request_approval("x", {}, by="ana", lasting=HOUR)
    assert not approvals.is_signed(asked)
    with pytest.raises(UsageError, match="has to be signed"):
        laptop.approve(asked.id, by="bob")
    approvals.approve(asked.id, by="bob")
    assert laptop.find_granted("x", {}) is not None
    nobody = make_approvals(approvals._blobs, approvals._clock, PEOPLE, ApprovalKeys())
    with pytest.raises(UsageError, match="cannot be verified"):
        nobody.find_granted("x", {})


def test_a_request_that_somebody_else_wrote_is_not_taken_for_the_apps(approvals: Approvals) -> None:
    laptop = make_approvals(approvals._blobs, approvals._clock, PEOPLE, LAPTOP_KEYS)
    forged = laptop.request_approval("x", {}, by="ana", lasting=HOUR)
    same_second = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    assert same_second.id == forged.id
    assert approvals.is_signed(approvals.find(forged.id))
    _rewrite(approvals, forged.id, request_signature="")
    later = approvals.request_approval("x", {}, by="ana", lasting=2 * HOUR)
    assert later.id != forged.id
    assert approvals.is_signed(later)
    assert approvals.request_approval("x", {}, by="ana", lasting=HOUR) == later


def test_an_approval_is_good_until_its_end_and_not_then(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")
    approvals._clock.advance(HOUR - timedelta(seconds=1))
    assert approvals.find_granted("x", {}) is not None
    approvals._clock.advance(timedelta(seconds=1))
    assert approvals.find_granted("x", {}) is None
    assert approvals.consume_approval("x", {}) is None


def test_while_a_key_is_exchanged_both_are_believed_and_no_third(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")
    new = Signer.generate()
    for trusted, granted in (
        ((new.public_text(), SIGNER.public_text()), True),
        ((SIGNER.public_text(), new.public_text()), True),
        ((new.public_text(),), False),
    ):
        keys = ApprovalKeys(new, trusted)
        after = make_approvals(approvals._blobs, approvals._clock, PEOPLE, keys)
        assert (after.find_granted("x", {}) is not None) is granted


def test_an_approval_that_was_used_since_the_listing_is_not_used_again(approvals: Approvals) -> None:
    """Two workers have the same approval: the second finds it used."""
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")

    class Late(Approvals):
        def _list_pending(self) -> list[Approval]:
            listed = super()._list_pending()
            approvals.consume_approval("x", {})
            return listed

    late = Late(approvals._blobs, approvals._clock, APP_KEYS, PEOPLE)
    assert late.consume_approval("x", {}) is None


def test_an_approval_that_was_denied_since_the_listing_is_not_used(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")

    class Late(Approvals):
        def _list_pending(self) -> list[Approval]:
            listed = super()._list_pending()
            approvals.deny(asked.id, by="ana")
            return listed

    late = Late(approvals._blobs, approvals._clock, APP_KEYS, PEOPLE)
    assert late.consume_approval("x", {}) is None
    assert not approvals.find(asked.id).used


def test_a_request_is_approved_until_its_end_and_not_then(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals._clock.advance(HOUR)
    with pytest.raises(Refused, match="the request has expired"):
        approvals.approve(asked.id, by="bob")


def test_the_key_is_in_no_text() -> None:
    assert SIGNER.secret_text() not in repr(APP_KEYS)


def test_what_was_denied_is_neither_approved_nor_used(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")
    assert approvals.deny(asked.id, by="ana").denied == "ana"
    assert approvals.find_granted("x", {}) is None
    assert approvals.pending() == []
    with pytest.raises(Refused, match="was denied: ana"):
        approvals.approve(asked.id, by="bob")


def test_an_approval_that_is_denied_while_it_is_used_is_not_used(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    assert approvals.approve(asked.id, by="bob").granted
    assert not approvals.deny(asked.id, by="bob").granted


def test_what_is_done_is_not_approved_again(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.approve(asked.id, by="bob")
    assert approvals.consume_approval("x", {}) is not None
    with pytest.raises(Refused, match="done already"):
        approvals.approve(asked.id, by="bob")
    assert approvals.find(asked.id).used
    for id_ in ("../holds/x", "0" * 16):
        with pytest.raises(NotFound, match="there is no such request"):
            approvals.find(id_)


@pytest.mark.parametrize(
    ("action", "arguments"),
    [("y", {"a": "1"}), ("x", {"a": "2"}), ("x", {}), ("x", {"a": "1", "b": "2"}), ("x", {"b": "1"})],
)
def test_an_approval_is_of_exactly_one_action(
    approvals: Approvals, action: str, arguments: dict[str, str]
) -> None:
    asked = approvals.request_approval("x", {"a": "1"}, by="ana", lasting=HOUR)
    assert approvals.find_granted("x", {"a": "1"}) is None, "nobody approved it"
    assert approvals.consume_approval("x", {"a": "1"}) is None
    approvals.approve(asked.id, by="bob")
    assert approvals.find_granted(action, arguments) is None
    assert approvals.consume_approval(action, arguments) is None
    assert approvals.consume_approval("x", {"a": "1"}) is not None


def test_a_request_that_waits_is_the_same_and_any_other_is_another(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {"a": "1"}, by="ana", lasting=HOUR)
    assert approvals.request_approval("x", {"a": "1"}, by="ana", lasting=2 * HOUR) == asked
    others = [
        approvals.request_approval("y", {"a": "1"}, by="ana", lasting=HOUR),
        approvals.request_approval("x", {"a": "2"}, by="ana", lasting=HOUR),
        approvals.request_approval("x", {"a": "1"}, by="bob", lasting=HOUR),
    ]
    assert len({one.id for one in (asked, *others)}) == 4
    assert sorted(one.id for one in approvals.pending()) == sorted(one.id for one in (asked, *others))
    approvals._clock.advance(HOUR)
    assert approvals.pending() == []
    again = approvals.request_approval("x", {"a": "1"}, by="ana", lasting=HOUR)
    assert again.id != asked.id
    assert again.expires == asked.expires + HOUR


def test_what_was_used_or_denied_in_this_very_second_is_not_asked_anew(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals.deny(asked.id, by="bob")
    assert approvals.request_approval("x", {}, by="ana", lasting=HOUR).denied == "bob"
    # Somebody else's under the id that this second makes is written over: it could never be approved.
    _rewrite(approvals, asked.id, denied="", used=True, request_signature="")
    anew = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    assert (anew.id, anew.used) == (asked.id, False)
    assert approvals.is_signed(approvals.find(asked.id))


@pytest.mark.parametrize("days", [90, 91])
def test_requests_are_kept_for_ninety_days(approvals: Approvals, days: int) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    approvals._clock.advance(timedelta(days=days))
    assert approvals.pending() == []
    kept = [blob.name for blob in approvals._blobs.list("approvals/")]
    assert kept == ([f"approvals/{asked.id}.json"] if days == 90 else [])


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "y"},
        {"arguments": {"a": "2"}},
        {"requester": "bob"},
        {"expires": "2030-01-01T00:00:00+00:00"},
        {"expires": "soon"},
        {"more": 1},
        {"id": "0" * 16},
    ],
)
def test_a_request_of_which_anything_was_changed_is_none_and_hides_no_other(
    approvals: Approvals, changes: dict[str, object]
) -> None:
    changed = approvals.request_approval("x", {"a": "1"}, by="ana", lasting=HOUR)
    other = approvals.request_approval("x", {"a": "3"}, by="ana", lasting=HOUR)
    approvals.approve(changed.id, by="bob")
    _rewrite(approvals, changed.id, **changes)
    assert approvals.pending() == [other]
    with pytest.raises(Corrupt, match=rf"approvals/{changed.id}\.json (was changed|is not an approval)"):
        approvals.find(changed.id)


def test_without_a_public_key_nobody_can_tell_what_was_approved(approvals: Approvals) -> None:
    asked = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    blind = make_approvals(approvals._blobs, approvals._clock, PEOPLE, ApprovalKeys())
    assert not blind.find(asked.id).granted
    approvals.approve(asked.id, by="bob")
    with pytest.raises(UsageError, match="no public signing key is set") as refused:
        blind.find(asked.id)
    assert refused.value.value == asked.id


def test_who_asks_without_a_key_takes_a_request_that_is_there(approvals: Approvals) -> None:
    laptop = make_approvals(approvals._blobs, approvals._clock, PEOPLE, LAPTOP_KEYS)
    asked = laptop.request_approval("x", {}, by="ana", lasting=HOUR)
    assert not laptop.is_signed(asked)
    assert laptop.request_approval("x", {}, by="ana", lasting=HOUR) == asked
    # The app does not: a request that it did not sign could be anybody's.
    signed = approvals.request_approval("x", {}, by="ana", lasting=HOUR)
    assert approvals.is_signed(signed)


@pytest.mark.parametrize("identity", ["", "x", "0" * 15, "0" * 17, "G" * 16, "../holds/x", "A" * 16])
def test_what_is_no_id_is_not_looked_for(approvals: Approvals, identity: str) -> None:
    for ask in (
        lambda: approvals.find(identity),
        lambda: approvals.approve(identity, by="bob"),
        lambda: approvals.deny(identity, by="bob"),
    ):
        with pytest.raises(NotFound, match="there is no such request"):
            ask()


def test_the_second_person_is_told_what_to_do() -> None:
    told = describe_how_to_approve("0" * 16)
    assert f"`approve {'0' * 16}` in the chat" in told
    assert told.endswith(f"groundcrew deploy approve {'0' * 16}")
