"""A command from its delivery to its answer: who, may they, is it still what they wrote, then do it, once.

A message of the queue may come twice and a worker may be killed anywhere. So each delivery has a record: what
is answered is never done again, and what was interrupted while it changed something is told and not repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from shared.chatops.approval import (
    approve_request,
    bind_approval,
    request_approval,
    run_approved,
    run_command,
)
from shared.chatops.authorize import find_permitted, find_refusal
from shared.chatops.confirm import confirmation_code, is_confirmed
from shared.chatops.deps import QUEUE, ChatopsDeps
from shared.chatops.grammar import COMMANDS, parse_command
from shared.chatops.messages import encode_request, parse_message
from shared.chatops.model import ChatAnswer, ChatRequest, CommandCall, CommandKind
from shared.chatops.posting import post_answer
from shared.chatops.readback import require_unchanged
from shared.chatops.records import DeliveryRecord, delivery_key
from shared.chatops.replies import describe_entries, describe_request, help_text, write_command
from shared.kernel.errors import GroundcrewError, Refused
from shared.kernel.ports import Queues
from shared.kernel.timestamps import format_minute
from shared.records.audit_search import find_entries
from shared.records.people import KnownPerson

log = logging.getLogger(__name__)

# A command that waited longer in the queue is not what its sender means now.
EXECUTE_WITHIN = timedelta(minutes=15)
_LEASE = timedelta(seconds=60)
_AUDIT_READ, _AUDIT_SHOWN = 500, 10
_INTERRUPTED = (
    "interrupted while it changed something: it may be done, half done or not. See `status`, then ask again."
)


def handle_request(deps: ChatopsDeps, request: ChatRequest, *, last_try: bool = False) -> str:
    """Answer one delivery; returns what was done, in a sentence.

    Raises Unavailable if the chat cannot be asked or told, so that the queue tries again; on the last try the
    answer goes to the notifications instead. Raises Locked while another worker is at it.
    """
    # A message may be delivered to two workers; the second waits for its next try.
    with deps.state.lease(f"locks/chat/{delivery_key(request)}", duration=_LEASE):
        record = deps.deliveries.claim(request)
        if record.posted:
            return "skipped: this delivery is answered already"
        # Saved before it is posted: what could not be posted is posted later, and nothing is done twice.
        if not record.answer:
            record = _answer(deps, request, record, last_try=last_try)
        where = post_answer(deps, request, record.answer, last_try=last_try)
        deps.deliveries.save(replace(record, posted=True))
    log.info(
        "chatops.answered", extra={"delivery": record.key, "room": request.room, "outcome": record.outcome}
    )
    return f"{record.outcome}, answered {where}"


def handle_message(deps: ChatopsDeps, queues: Queues, data: bytes, *, last_try: bool) -> str:
    """Do what a message of the queue asks for; a batch is split, so that each is retried by itself.

    Raises UsageError for what is no message of ours, and as `handle_request` does.
    """
    requests = parse_message(data, deps.queue_key)
    if len(requests) == 1:
        return handle_request(deps, requests[0], last_try=last_try)
    for request in requests:
        queues.send(QUEUE, encode_request(request, deps.queue_key))
    return f"split a batch of {len(requests)} commands"


def _answer(
    deps: ChatopsDeps, request: ChatRequest, record: DeliveryRecord, *, last_try: bool
) -> DeliveryRecord:
    if record.changing:
        return deps.deliveries.save(replace(record, answer=_INTERRUPTED, outcome="interrupted"))

    def before_change() -> None:
        require_unchanged(deps, request)
        deps.deliveries.save(replace(record, changing=True))

    try:
        answer = answer_request(deps, request, before_change)
    except GroundcrewError as error:
        # Only what the chat itself did not answer: nothing was changed yet, and it is not refused either.
        if not last_try:
            raise
        answer = ChatAnswer(f"not done: {error}", "failed")
    return deps.deliveries.save(replace(record, answer=answer.text, outcome=answer.outcome))


def answer_request(
    deps: ChatopsDeps, request: ChatRequest, before_change: Callable[[], None] = lambda: None
) -> ChatAnswer:
    """The answer to a command, which is done meanwhile; `before_change` is called before anything is changed.

    Raises only `ChatUnreachable`, of `before_change`.
    """
    from shared.chatops.readback import ChatUnreachable

    try:
        return _dispatch(deps, request, before_change)
    except ChatUnreachable:
        raise
    except Refused as error:
        log.warning(
            "chatops.refused",
            extra={"room": request.room, "accounts": request.accounts, "reason": str(error)},
        )
        return ChatAnswer(f"refused: {error}", "refused")
    except GroundcrewError as error:
        return ChatAnswer(f"failed: {error}", "failed")
    except Exception as error:  # a bug of one command must not leave its sender without an answer
        log.exception("chatops.internal_error", extra={"room": request.room})
        return ChatAnswer(f"failed: internal error ({type(error).__name__}); the log has it", "failed")


def _dispatch(deps: ChatopsDeps, request: ChatRequest, before_change: Callable[[], None]) -> ChatAnswer:
    # Who asks comes first: a stranger's text is not even parsed.
    person = _identify(deps, request)
    if deps.clock.now() - request.sent > EXECUTE_WITHIN:
        raise Refused(
            "the command is too old", value=f"sent {format_minute(request.sent)}", hint="Send it again."
        )
    call = parse_command(request.text)
    if refusal := find_refusal(deps.rules, person, request.room, call.name):
        raise Refused(refusal)
    if call.name == "help":
        return ChatAnswer(_help(deps, request, person, call), "answered")
    if call.name == "who":
        entries = find_entries(
            deps.audit.newest(_AUDIT_READ), about=call.arguments["words"], most=_AUDIT_SHOWN
        )
        return ChatAnswer(describe_entries(entries), "answered")
    if call.name == "approve":
        return approve_request(deps, request, person, call, before_change)
    if call.name == "deny":
        return _deny(deps, request, person, call, before_change)
    return _run_handler(deps, request, person, call, before_change)


def _identify(deps: ChatopsDeps, request: ChatRequest) -> KnownPerson:
    person = deps.people.find_by_accounts(request.accounts)
    if person is None:
        raise Refused(
            "nobody that policy.yaml knows", value=" ".join(request.accounts) or "no account",
            hint="Add the id under people.",
        )  # fmt: skip
    return person


def _help(deps: ChatopsDeps, request: ChatRequest, person: KnownPerson, call: CommandCall) -> str:
    permitted = find_permitted(deps.rules, person, request.room)
    if what := call.arguments.get("what"):
        permitted = permitted & {what} or permitted
    return help_text(permitted, request.platform, deps.two_people)


def _deny(
    deps: ChatopsDeps,
    request: ChatRequest,
    person: KnownPerson,
    call: CommandCall,
    before_change: Callable[[], None],
) -> ChatAnswer:
    found = deps.approvals.find(call.arguments["id"])
    if call.dry_run:
        return ChatAnswer(f"would deny {describe_request(found)}", "answered")
    before_change()
    denied = deps.approvals.deny(found.id, by=person.id)
    what = f"{denied.action} {denied.id} in {request.room}"
    deps.audit.append(person.id, "deny", what, f"denied to {denied.requester}")
    return ChatAnswer(describe_request(denied), "done")


def _run_handler(
    deps: ChatopsDeps,
    request: ChatRequest,
    person: KnownPerson,
    call: CommandCall,
    before_change: Callable[[], None],
) -> ChatAnswer:
    kind = CommandKind.TWO_PEOPLE if call.name in deps.two_people else COMMANDS[call.name].kind
    plan = deps.handlers[call.name].plan(call)
    # By its own kind: policy can make a question need two people, but there is nothing to approve.
    if COMMANDS[call.name].kind is CommandKind.READ:
        return ChatAnswer(plan.text, "answered")
    if call.dry_run:
        return ChatAnswer(f"would {plan.text}", "answered")
    if kind is CommandKind.TWO_PEOPLE:
        # Also before it is only requested: a made-up request is one that somebody may approve by mistake.
        before_change()
        granted = deps.approvals.find_granted(*bind_approval(call, plan))
        if granted is not None:
            return run_approved(deps, request, call, granted)
        return request_approval(deps, request, person, call, plan)
    if kind is CommandKind.CONFIRM and not is_confirmed(
        call, plan, person.id, request.room, deps.clock.now()
    ):
        stale = "That code is not of this plan, which may have changed. " if call.code else ""
        code = confirmation_code(call, plan, person.id, request.room, deps.clock.now())
        command = write_command(request.platform, f"{call.line} confirm {code}")
        return ChatAnswer(f"{stale}would {plan.text}\nTo do it, write within 10 minutes:\n{command}", "asked")
    before_change()
    return run_command(deps, request, person, call, plan)
