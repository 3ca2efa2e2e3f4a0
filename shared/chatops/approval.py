"""Two people: one asks, another approves exactly that, and it is done as long as nothing has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from shared.chatops.authorize import find_permitted_anywhere
from shared.chatops.deps import ChatopsDeps, CommandHandler
from shared.chatops.grammar import parse_command
from shared.chatops.model import ChatAnswer, ChatRequest, CommandCall, CommandPlan
from shared.chatops.replies import describe_request, write_command
from shared.kernel.errors import GroundcrewError, Refused
from shared.records.approvals import Approval
from shared.records.people import KnownPerson

log = logging.getLogger(__name__)

_CHAT = "chat."  # how the actions begin that only chat asks for
_ROLLBACK = "deploy.rollback"  # the feature's own action, which the command line requests as well


def bind_approval(call: CommandCall, plan: CommandPlan) -> tuple[str, dict[str, str]]:
    """The action and arguments that an approval of this plan is bound to, the target's version among them."""
    if plan.action:
        return plan.action, dict(plan.arguments)
    return f"chat.{call.name}", {"command": call.line, "target": plan.target or plan.text}


def request_approval(
    deps: ChatopsDeps, request: ChatRequest, person: KnownPerson, call: CommandCall, plan: CommandPlan
) -> ChatAnswer:
    """Ask for a second person's approval; the same request while it is pending is the same one."""
    # By the same words as the command line: what is approved there counts here, and the other way round.
    action, arguments = bind_approval(call, plan)
    approval = deps.approvals.request_approval(action, arguments, by=person.id, lasting=deps.approval_timeout)
    subject = f"{call.line} in {request.room}"
    deps.audit.append(person.id, f"chat.{call.name}", subject, f"requested {approval.id}")
    command = write_command(request.platform, f"approve {approval.id}")
    needs = f"This needs another person's approval by {approval.expires:%H:%MZ}, who writes:"
    return ChatAnswer(f"{plan.text}\n{needs}\n{command}", "asked")


def approve_request(
    deps: ChatopsDeps,
    request: ChatRequest,
    person: KnownPerson,
    call: CommandCall,
    before_change: Callable[[], None],
) -> ChatAnswer:
    """Approve a request, and do it if it is a command of the chat. Raises Refused, NotFound, Corrupt."""
    approval_found = deps.approvals.find(call.arguments["id"])
    if call.dry_run:
        return ChatAnswer(f"would approve {describe_request(approval_found)}", "answered")
    before_change()
    line = command_of(approval_found)
    signed = deps.approvals.is_signed(approval_found)
    if line is not None and approval_found.action.startswith(_CHAT) and not signed:
        # Chat asks under the app's key. This was written by somebody else, in whoever's name.
        raise Refused(
            "the request is not signed by the app: anybody who can write the state could have made it up",
            value=describe_request(approval_found),
            hint="Have it asked for in the chat.",
        )
    approval = deps.approvals.approve(approval_found.id, by=person.id)
    what = f"{approval.action} {approval.id} in {request.room}"
    deps.audit.append(person.id, "approve", what, f"approved for {approval.requester}")
    if line is None or not signed:
        return ChatAnswer(f"approved: {describe_request(approval)}; who asked runs it again", "done")
    requester = deps.people.find(approval.requester)
    allowed = find_permitted_anywhere(deps.rules, requester) if requester else frozenset()
    # The line was ours when it was requested; a record that was changed has another id and is corrupt.
    approved = parse_command(line)
    if approved.name not in allowed:
        # Asked for at a laptop, by somebody who may not do it from chat: it is not done from chat for them.
        return ChatAnswer(f"approved: {describe_request(approval)}; who asked runs it there", "done")
    return run_approved(deps, request, approved, approval)


def run_approved(
    deps: ChatopsDeps, request: ChatRequest, call: CommandCall, approval: Approval
) -> ChatAnswer:
    """Do what was approved, for who asked. Raises Refused if anything that it was bound to has changed."""
    handler = deps.handlers[call.name]
    plan = handler.plan(call)
    subject = f"{call.line} in {request.room}"
    action, arguments = bind_approval(call, plan)
    if (action, arguments) != (approval.action, dict(approval.arguments)):
        outcome = f"refused: changed since {approval.id} was requested"
        deps.audit.append(approval.requester, f"chat.{call.name}", subject, outcome)
        # Closed, so that it is nobody's any more should the target ever look like this again.
        deps.approvals.deny(approval.id, by="groundcrew")
        changed = sorted(key for key in arguments if arguments[key] != approval.arguments.get(key))
        raise Refused(
            "what was approved has changed since",
            value=", ".join(changed) or action,
            hint="Ask for it again.",
        )
    if not plan.action and deps.approvals.consume_approval(action, arguments) is None:
        # The features with an action of their own use it up themselves, when it is done.
        raise Refused(
            "the approval is used up, or was taken back", value=approval.id, hint="Ask for it again."
        )
    people = f"requested by {approval.requester}, approved by {approval.approver}"
    done = _run_audited(deps, handler, call, plan, approval.requester, f"{subject}, {people}")
    return ChatAnswer(f"{done}\n{people}", "done")


def _run_audited(
    deps: ChatopsDeps, handler: CommandHandler, call: CommandCall, plan: CommandPlan, by: str, subject: str
) -> str:
    if handler.run is None:  # such as a restore, which is refused when it is planned
        raise Refused("this cannot be done from here", value=call.line)
    try:
        done = handler.run(call, plan, by)
    except Exception as error:
        # A bug leaves its class only: its text may quote anything.
        reason = str(error) if getattr(error, "hint", None) is not None else type(error).__name__
        deps.audit.append(by, f"chat.{call.name}", subject, f"failed: {reason[:300]}")
        raise
    try:
        deps.audit.append(by, f"chat.{call.name}", subject, done[:300])
    except GroundcrewError as error:
        # It is done: told that it failed, people would have it done once more.
        log.error("chatops.audit_failed", extra={"subject": subject, "error": str(error)})  # noqa: TRY400
        return f"{done}\nThe audit trail could not be written: {error}"
    return done


def run_command(
    deps: ChatopsDeps, request: ChatRequest, person: KnownPerson, call: CommandCall, plan: CommandPlan
) -> ChatAnswer:
    """Do what needs no second person."""
    subject = f"{call.line} in {request.room}"
    return ChatAnswer(_run_audited(deps, deps.handlers[call.name], call, plan, person.id, subject), "done")


def command_of(approval: Approval) -> str | None:
    """The command of the chat that a request means; None for one that only the command line has."""
    if approval.action == _ROLLBACK:
        restored = approval.arguments.get("restored", "")
        return f"rollback {approval.arguments['revision']}" + (f" restored {restored}" if restored else "")
    if approval.action.startswith(_CHAT):
        return approval.arguments.get("command")
    return None
