"""The texts of answers, as each platform shows them."""

from __future__ import annotations

from collections.abc import Iterable

from shared.chatops.grammar import COMMANDS
from shared.chatops.model import ChatPlatform, CommandKind
from shared.records.approvals import Approval
from shared.records.audit import AuditEntry

_MOST_CHARACTERS = 3500  # Slack cuts blocks of code at 4000
_PREFIXES = {
    ChatPlatform.ROCKETCHAT: "!ops {}",
    ChatPlatform.SLACK: "/ops {}",
    ChatPlatform.TEAMS: "@Groundcrew {}",
    ChatPlatform.WEB: "{}",
    ChatPlatform.LAPTOP: 'groundcrew ops "{}"',
}


def write_command(platform: ChatPlatform, line: str) -> str:
    """The command as it is written at that platform, to be copied."""
    return _PREFIXES[platform].format(line)


def help_text(permitted: Iterable[str], platform: ChatPlatform, two_people: frozenset[str]) -> str:
    """The commands of those names, one a line, with what each needs."""
    specs = [COMMANDS[name] for name in COMMANDS if name in set(permitted)]
    width = max(len(spec.usage) for spec in specs)
    lines = []
    for spec in specs:
        kind = CommandKind.TWO_PEOPLE if spec.name in two_people else spec.kind
        needs = {CommandKind.CONFIRM: " (asks first)", CommandKind.TWO_PEOPLE: " (two people)"}.get(kind, "")
        lines.append(f"{spec.usage:{width}}  {spec.summary}{needs}")
    example = write_command(platform, "status")
    return "\n".join([f"What you may do here, as in {example}:", *lines, "Any of them: … dry run"])


def describe_request(approval: Approval) -> str:
    """A request on one line: what, by whom, until when."""
    what = approval.arguments.get("command") or ", ".join(
        f"{key} {value}" for key, value in approval.arguments.items() if value
    )
    state = (
        f", denied by {approval.denied}" if approval.denied
        else ", done" if approval.used
        else f", approved by {approval.approver}" if approval.approver
        else ""
    )  # fmt: skip
    return (
        f"{approval.id} {approval.action} ({what}), requested by {approval.requester}, "
        f"ends {approval.expires:%H:%MZ}{state}"
    )


def describe_entries(entries: Iterable[AuditEntry]) -> str:
    """Entries of the audit trail, one a line."""
    lines = [f"{one.at[:16]}Z {one.actor}: {one.action} {one.subject}: {one.outcome}" for one in entries]
    return "\n".join(lines) or "nothing of that is in the newest entries of the audit trail"


def fence_text(text: str) -> str:
    """The text as a block of code, cut to what a chat shows: nothing in it is a mention, a link or a style.

    What is quoted may come from anybody: `@all` of a pull request's title must not call the whole room.
    """
    fenced = text.replace("`", "'")
    if len(fenced) > _MOST_CHARACTERS:
        fenced = fenced[:_MOST_CHARACTERS].rstrip() + "\n… (cut: see the status page or the command line)"
    return f"```\n{fenced}\n```"
