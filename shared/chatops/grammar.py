"""The one grammar of commands, for chat and command line.

A command is one line of printable ASCII. Anything else is refused with the sign's name rather than folded:
NFKC leaves letters of other scripts that look like ours, and who approves cannot check what is not seen.
Times belong to power's own order grammar (`shared.power.overrides`), which gets them as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from shared.chatops.model import CommandCall, CommandKind
from shared.kernel.errors import UsageError

MAX_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """How a command is written and what it needs; `pattern` matches what follows its first word."""

    name: str
    usage: str
    summary: str
    kind: CommandKind
    pattern: re.Pattern[str]

    def write_line(self, arguments: dict[str, str]) -> str:
        """The command with these arguments, as everybody reads it."""
        words = [self.name]
        for name, value in arguments.items():
            words += (
                [value]
                if name in ("id", "sha", "revision", "name", "what", "scope", "end", "words")
                else [name, value]
            )
        return " ".join(words)


# What the order says of its time; power's own grammar reads it.
_DAY = r"(?:today|tomorrow|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?)"
_END = rf"(?P<end>(?:until|till|for|from|on|next) .+?|{_DAY}(?: .+?)??|\d.+?)"
_MACHINE = r"machine (?P<machine>[A-Za-z0-9._=/-]{1,200})"
_SET = r"(?P<restored>[a-z]{1,20}/[0-9A-Za-z]{1,40})"


def _spec(name: str, usage: str, summary: str, kind: CommandKind, pattern: str = "") -> CommandSpec:
    return CommandSpec(name, usage, summary, kind, re.compile(pattern, re.ASCII))


_READ, _SAFE, _CONFIRM, _TWO = CommandKind.READ, CommandKind.SAFE, CommandKind.CONFIRM, CommandKind.TWO_PEOPLE
_REQUEST_ID = r"(?P<id>[0-9a-f]{16})"
_ORDER_ID = r"(?P<id>\d{8}[Tt]\d{6}-[0-9a-f]{8})"
# A commit, or a pull request, of which it is the merge.
_COMMIT = r"(?P<sha>[0-9a-f]{40}|#?[1-9][0-9]{0,8})"
_OPTIONAL_ORDER = rf"(?:{_END})?(?:(?:(?<=.) )?{_MACHINE})?"
COMMANDS = {
    spec.name: spec
    for spec in (
        _spec("help", "help", "what you may do here", _READ, r"(?P<what>[a-z]{1,20})?"),
        _spec("status", "status", "server, backup, health and requests that wait", _READ),
        _spec(
            "up", "up [until 22:00 | for 2h | Sat 10-14] [machine NAME]", "start, or keep up", _SAFE,
            _OPTIONAL_ORDER,
        ),
        _spec(
            "down", "down [until Mon 7:00 | tomorrow] [machine NAME]", "stop until then", _CONFIRM,
            _OPTIONAL_ORDER,
        ),
        _spec("auto", "auto [machine NAME]", "back to the schedule", _SAFE, rf"(?:{_MACHINE})?"),
        _spec("orders", "orders", "orders in force and ahead, with their ids", _READ),
        # Ending `up` may stop the machine, as `down` does: its sender sees first which order it is.
        _spec("cancel", "cancel ORDER", "end one order now", _CONFIRM, rf"{_ORDER_ID}"),
        _spec("hold", "hold for 2h [because REASON]", "put off every stop of the server's machine", _SAFE,
              r"(?P<end>for \d.*?)(?: because (?P<because>[ -~]{1,80}))?"),
        _spec("release", "release [of USER]", "take back a hold", _SAFE,
              r"(?:of (?P<of>[A-Za-z0-9.@_-]{1,64}))?"),
        _spec("backup", "backup now", "begin a backup", _SAFE, r"now"),
        _spec("backups", "backups", "the newest backups", _READ),
        _spec(
            "restore", "restore SET [until MOMENT] [into TARGET]", "restore a backup", _TWO,
            r"(?P<what>latest|[a-z]{1,20}/[0-9A-Za-z]{1,40})"
            r"(?: until (?P<until>[0-9][0-9A-Za-z:.,+-]{3,39}))?(?: into (?P<into>[a-z][a-z0-9-]{0,39}))?",
        ),
        _spec("drill", "drill", "prove that the newest backup restores", _TWO),
        _spec("snapshot", "snapshot", "take the snapshots that are due", _CONFIRM),
        _spec("deploy", "deploy SHA | #PULL", "deploy a commit or a merge, behind all gates", _CONFIRM,
              _COMMIT),
        _spec("plan", "plan SHA | #PULL", "what a deploy would change", _READ, _COMMIT),
        _spec(
            "rollback", "rollback REVISION [restored CLASS/SET]", "return to an earlier revision", _TWO,
            rf"(?P<revision>\d{{1,6}})(?: restored {_SET})?",
        ),
        _spec("certs", "certs", "certificates and when they end", _READ),
        _spec(
            "renew", "renew NAME [namespace NAME]", "have a certificate issued anew", _CONFIRM,
            r"(?P<name>[a-z0-9][a-z0-9.-]{0,250})(?: namespace (?P<namespace>[a-z0-9-]{1,63}))?",
        ),
        _spec("secrets", "secrets", "secrets, when they are due and who rotated them", _READ),
        _spec(
            "rotate", "rotate SECRET", "exchange a secret, or go on with it", _TWO,
            r"(?P<name>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)",
        ),
        _spec(
            "silence", "silence TOPIC|ALERT [critical] for 2h because REASON", "mute messages for a while",
            _CONFIRM,
            r"(?P<what>[A-Za-z][A-Za-z0-9._-]{0,99})(?: (?P<scope>critical))?"
            r" for (?P<for>[0-9smhdw]{2,12}) because (?P<because>[ -~]{3,120})",
        ),
        _spec(
            "unsilence", "unsilence TOPIC|ALERT", "end a silence early", _SAFE,
            r"(?P<what>[A-Za-z][A-Za-z0-9._-]{0,99})",
        ),
        _spec("cost", "cost", "the cost of the last full week", _READ),
        _spec("approve", "approve ID", "approve what another person asked for", _SAFE, _REQUEST_ID),
        _spec("deny", "deny ID", "say no to a request, or take yours back", _SAFE, _REQUEST_ID),
        _spec("who", "who did WORDS", "the audit trail, newest first", _READ, r"did (?P<words>[ -~]{1,80})"),
    )
}  # fmt: skip
# Spellings of power's own grammar, and what people write instead.
_ALIASES = {
    "on": "up",
    "off": "down",
    "resume": "auto",
    "schedule": "auto",
    "certificates": "certs",
    "?": "help",
}
_KEEP = re.compile(r"keep (?:it )?(?=(?:up|on|down|off)\b)", re.ASCII | re.IGNORECASE)
_DRY_RUN = re.compile(r" dry[ -]run$", re.ASCII | re.IGNORECASE)
_CODE = re.compile(r" confirm (?P<code>[0-9a-f]{8})$", re.ASCII | re.IGNORECASE)


def parse_command(text: str) -> CommandCall:
    """What the line asks for. Raises UsageError, with the nearest command for a typo."""
    line = _check_line(text)
    dry_run, code = _DRY_RUN.search(line), _CODE.search(line)
    if modifier := dry_run or code:
        line = line[: modifier.start()]
    line = _KEEP.sub("", line, count=1)
    word, _, rest = line.partition(" ")
    name = _ALIASES.get(word.lower(), word.lower())
    spec = COMMANDS.get(name)
    if spec is None:
        raise UsageError("no such command", value=repr(word[:40]), hint=suggest(word.lower(), COMMANDS))
    # Phones write capitals where nobody meant them; names that have some are matched as they are first.
    match = spec.pattern.fullmatch(rest) or spec.pattern.fullmatch(rest.lower())
    if match is None:
        raise UsageError("not understood", value=repr(line[:80]), hint=f"Write: {spec.usage}")
    arguments = {key: value for key, value in match.groupdict().items() if value}
    written = "backup now" if name == "backup" else spec.write_line(arguments)
    written = written.replace("who ", "who did ", 1) if name == "who" else written
    return CommandCall(name, arguments, written, bool(dry_run), code["code"].lower() if code else "")


def suggest(word: str, names: Iterable[str]) -> str:
    """The nearest of the names, or where to find all of them."""
    near = get_close_matches(word, [*names, *_ALIASES], 1, 0.6)
    return f"Did you mean {near[0]}?" if near else "Write: help"


def _check_line(text: str) -> str:
    """The text on one line, words one space apart. Raises UsageError for any sign that is not plain."""
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"a command has at most {MAX_CHARACTERS} characters", value=len(text))
    # No list of bad signs: what is not on the short list of good ones is refused, whatever Unicode adds.
    for place, sign in enumerate(text, 1):
        if not (" " <= sign <= "~" or sign == "\t"):
            # By its name and number, since the sign itself may be invisible or turn the line around.
            name = unicodedata.name(sign, "a control character")
            raise UsageError(
                f"character {place} is U+{ord(sign):04X} {name}",
                hint="Type the command anew, in one line of plain letters, digits and signs.",
            )
    line = " ".join(text.split())
    if not line:
        raise UsageError("no command", hint="Write: help")
    return line
