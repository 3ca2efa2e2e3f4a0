"""`groundcrew ops`: the commands of the chat, with its grammar, its rights and its approvals."""

from __future__ import annotations

import secrets

import click

from cli.console import as_json, print_answer
from cli.identity import current_account
from shared import wiring


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="COMMAND…")
@as_json
def ops(words: tuple[str, ...], json_: bool) -> None:
    """Do what COMMAND says, as in the chat: `groundcrew ops status`, `groundcrew ops up until 22:00`.

    Policy's people and chat.rules decide: the room is `laptop`, the account is the one that runs this.
    """
    from shared.chatops.job import answer_request
    from shared.chatops.model import ChatPlatform, ChatRequest
    from shared.wiring.chatops import chatops_deps

    account = current_account()
    text, now = " ".join(words), wiring.system_clock().now()
    # No delivery to repeat and no thread to answer in: the answer is printed.
    # By the same steps as from a chat, with its rights and approvals: otherwise the laptop would be the way
    # around them.
    request = ChatRequest(ChatPlatform.LAPTOP, secrets.token_hex(16), (account,), "laptop", text, now)
    answer = answer_request(chatops_deps(), request)
    print_answer({"outcome": answer.outcome, "answer": answer.text}, json_=json_, text=answer.text)
    if answer.outcome in ("refused", "failed"):
        raise SystemExit(1)
