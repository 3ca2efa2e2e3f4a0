"""Commands from chat: the endpoints, the queue behind them, and the answer for who is signed in."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import azure.functions as func

from shared.kernel.errors import GroundcrewError

if TYPE_CHECKING:
    from shared.chatops.intake import ChatIntake, CommandAnswer

bp = func.Blueprint()
log = logging.getLogger(__name__)

_LAST_TRY = 5  # `maxDequeueCount` of host.json: the message is poison after it


# Anonymous for the platform, since each endpoint has its own proof; async, since it does nothing but wait.
@bp.route(route="chatops", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def chatops(req: func.HttpRequest) -> func.HttpResponse:
    """Verify a command of Rocket.Chat, Slack or Teams and put it on the queue."""
    from shared.chatops.intake import receive_command

    return await _receive(req, receive_command)


# Behind the platform's sign-in, apart from the endpoint that is open to webhooks.
@bp.route(route="chatops/signed-in", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def chatops_signed_in(req: func.HttpRequest) -> func.HttpResponse:
    """The same for who is signed in: 202 and where the answer will be."""
    from shared.chatops.intake import receive_signed_in

    return await _receive(req, receive_signed_in)


async def _receive(
    req: func.HttpRequest,
    receive: "Callable[[ChatIntake, Mapping[str, str], bytes], Awaitable[CommandAnswer]]",
) -> func.HttpResponse:
    """What an endpoint answers; 503 with the reason where its settings are wrong."""
    from shared.wiring.chat_platforms import build_chat_intake

    try:
        answer = await receive(build_chat_intake(), _lower(req.headers), req.get_body())
    except GroundcrewError as error:
        return _respond(503, {"error": f"closed: {error.public}"}, str(error))
    return _respond(answer.status, answer.body, answer.reason)


@bp.route(route="chatops/signed-in/{id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def chatops_answer(req: func.HttpRequest) -> func.HttpResponse:
    """The answer to a command, for who gave it."""
    from shared.chatops.answers import read_answer
    from shared.wiring.chatops import chatops_deps
    from shared.wiring.pages import page_access

    key = req.route_params.get("id") or ""
    status, body = read_answer(chatops_deps(), page_access(), _lower(req.headers), key)
    return _respond(status, body, "")


@bp.queue_trigger(arg_name="message", queue_name="chat-commands", connection="AzureWebJobsStorage")
def chat_command(message: func.QueueMessage) -> None:
    """Do what the message asks for, and answer where it was asked."""
    from shared.chatops.job import handle_message
    from shared.wiring import connect_queues
    from shared.wiring.chatops import chatops_deps

    # On the last try the person is told that it failed; before it, the next try may still succeed.
    last_try = (message.dequeue_count or 1) >= _LAST_TRY
    done = handle_message(chatops_deps(), connect_queues(), message.get_body(), last_try=last_try)
    log.info("chat_command", extra={"delivery": message.id, "done": done})


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _respond(status: int, body: Mapping[str, object] | None, reason: str) -> func.HttpResponse:
    if reason:
        log.warning("chatops.declined", extra={"status": status, "reason": reason})
    text = None if body is None else json.dumps(body)
    return func.HttpResponse(text, status_code=status, mimetype="application/json")
