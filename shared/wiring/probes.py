"""The wiring of probes: the chat's pages, the probe account, the notes in its database."""

from __future__ import annotations

import secrets
from functools import cache
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import chat_definitions, definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import load_policy, open_state, system_clock
from shared.wiring.notifications import build_notifier

if TYPE_CHECKING:
    from shared.probes.deps import ChatDoors, ProbeDeps
    from shared.probes.model import ProbeReport, ProbeRun
    from shared.probes.ports import ChatLobby, ChatParticipant, IntegrationNotes

NOT_SET_UP = "policy wants no probes"


def is_enabled() -> bool:
    """Whether policy wants probes. Raises UsageError if it cannot be read."""
    return load_policy().probes.enabled


@cache
def probe_deps() -> ProbeDeps:
    """All that the job needs. Raises UsageError with every bad setting."""
    from shared.probes.deps import ProbeDeps

    read = all_or_nothing(
        doors=_connect_doors, state=open_state, notifications=build_notifier, policy=load_policy
    )
    rules = read.pop("policy")
    return ProbeDeps(clock=system_clock(), policy=rules.probes, make_text=_make_text, **read)


def run_for_deploy(sha: str, *, last_try: bool) -> ProbeReport:
    """What a deploy does when it is healthy; an empty report where policy wants no probes."""
    return _try_probes(f"deploy {sha[:7]}", last_try=last_try)


def run_for_start() -> str:
    """What power does when a server that was started is healthy, in a sentence; empty without probes."""
    return _try_probes("start", last_try=True).text


def load_last() -> ProbeRun | None:
    """The newest look that was kept."""
    from shared.probes.records import load_probes

    record = load_probes(open_state())
    return record.run if record else None


def _try_probes(trigger: str, *, last_try: bool) -> ProbeReport:
    from shared.probes.job import try_probes
    from shared.probes.model import ProbeReport

    if not is_enabled():
        return ProbeReport()
    try:
        deps = probe_deps()
    except UsageError as error:
        # Neither a deploy nor a start fails for a setting of something else; doctor and health tell of it.
        return ProbeReport(f"probes did not run: {error.public}")
    return try_probes(deps, trigger, last_try=last_try)


def _connect_doors() -> ChatDoors:
    from shared.probes.deps import ChatDoors

    return ChatDoors(_connect_lobby(), _connect_participant(), _connect_integrations())


def _connect_lobby() -> ChatLobby:
    from shared.adapters.chat_probe.offer import connect_offer

    url = read_environment().get(definitions.CHAT)
    if not url:
        hint = f"For example: {definitions.CHAT.example}"
        raise UsageError(f"{definitions.CHAT.name} is not set", hint=hint)
    return parse_setting(definitions.CHAT, connect_offer, url)


def _connect_participant() -> ChatParticipant | None:
    from shared.adapters.chat_admin import connect_chat
    from shared.adapters.chat_admin.participant import ProbeAccount
    from shared.kernel.secret import Secret

    env = read_environment()
    user, token = env.get(chat_definitions.PROBE_USER), env.secret(chat_definitions.PROBE_TOKEN)
    if not user or not token:
        return None
    return ProbeAccount(connect_chat(env.get(definitions.CHAT), user, token, Secret("")))


def _connect_integrations() -> IntegrationNotes | None:
    from shared.adapters.mongodb.integration_notes import MongoIntegrationNotes

    uri = read_environment().values.get(definitions.MONGODB.name)
    return MongoIntegrationNotes(uri) if uri else None


def _make_text() -> str:
    """Another one each time: what is read back is then surely what was written."""
    return f"Groundcrew looks whether messages arrive, and deletes this at once ({secrets.token_hex(6)})."
