"""An order for machines, put together from words and options in the grammar that chat has, too."""

from __future__ import annotations

from collections.abc import Sequence

from shared.kernel.errors import UsageError


def split_order(words: Sequence[str], machines: Sequence[str]) -> tuple[str, str]:
    """The machine and the time that an order names, each empty if it does not. Raises UsageError.

    As in chat: `until 22:00`, `Saturday 10-14`, `until 22:00 machine rocketchat`; or the machine before it.
    """
    from shared.chatops.grammar import parse_command

    if not words:
        return "", ""
    # A machine of policy first: its name may look like a time.
    named = words[0].lower() in {name.lower() for name in machines}
    if not named:
        try:
            arguments = parse_command(f"up {' '.join(words)}").arguments
            return arguments.get("machine", ""), arguments.get("end", "")
        except UsageError:
            if len(words) > 1 and words[1].lower() == "machine":
                raise
    return words[0], parse_command(f"up {' '.join(words[1:])}".strip()).arguments.get("end", "")


def write_order(what: str, words: str, until: str | None, lasting: str | None, when: str | None) -> str:
    """The order in the grammar that chat has, too."""
    options = (words, until and f"until {until}", lasting and f"for {lasting}", when)
    options_given = [text for text in options if text]
    if len(options_given) > 1:
        hint = "Give one time, as a word or as an option."
        raise UsageError("--until, --for, --when and words exclude each other", hint=hint)
    return " ".join([what, *options_given])
