"""The app in its host, with a chat whose webhook comes to it, and a release to roll back."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import json
import os
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from aiohttp import web

from local.azurite import EmulatedAccount
from local.chat import Conversations, Integration
from local.deploy_demo import Site, wait_for_deploy
from local.helm import ensure_helm
from local.mongodb import MongoServer
from local.rocketchat.seed import seed_database
from local.server import Served
from local.stack import ROOT, Stack
from shared.kernel.errors import GroundcrewError
from tests.support.commands import run_groundcrew

ROOM, SECONDS = "GENERAL", 120
POLICY = """
people:
  - id: ana
    name: Ana
    roles: [operator]
    rocketchat: [uAna]
    slack: [T01/UANA]
    teams: ["29:ana"]
    login: [{login}]
  - id: bob
    name: Ana
    roles: [operator]
    rocketchat: [uBob]
  - id: eve
    rocketchat: [uEve]
chat:
  rules:
    - who: [role:operator]
      rooms: [rocketchat:GENERAL, slack:T01/C01, "teams:19:ops@thread.tacv2", laptop]
      commands: [status, backups, restore, rollback, approve, deny, who, plan, deploy]
    - who: [eve]
      rooms: [rocketchat:GENERAL]
      commands: [backups]
"""


@dataclass
class ChatPlace:
    """The running app and the rooms around it; `hook` keeps what was posted to Slack's address."""

    stack: Stack
    site: Site
    secret: str
    hook_url: str
    inspection: str  # the URI of the server that policy lets a backup be restored into
    hook: list[dict[str, Any]] = field(default_factory=list)

    @property
    def talk(self) -> Conversations:
        return self.site.chat.conversations

    @property
    def endpoint(self) -> str:
        return f"{self.stack.host.url}/api/chatops"

    def ask(self, user: str, text: str) -> str:
        """Say it in the room, and wait for the answer in the thread."""
        message = self.talk.write_message(user, ROOM, f"!ops {text}")
        return self.wait(lambda: next(iter(self.talk.thread(message)), ""))

    def ask_by_slack(self, user: str, text: str) -> str:
        """The same by a slash command."""
        form = {"team_id": "T01", "user_id": user, "channel_id": "C01", "command": "/ops", "text": text}
        body = urlencode({**form, "response_url": f"{self.hook_url}/commands/1"}).encode()
        stamp, before = str(int(time.time())), len(self.hook)
        signature = hmac.new(self.secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
        headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={signature.hexdigest()}"}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        assert requests.post(self.endpoint, data=body, headers=headers, timeout=10).status_code == 200
        return self.wait(lambda: str(self.hook[-1]["text"]) if len(self.hook) > before else "")

    def ask_by_teams(self, user: str, text: str) -> requests.Response:
        """A message to Teams' outgoing webhook, signed as Teams does; its one answer."""
        sent = datetime.now(UTC).isoformat()
        message = {
            "type": "message", "id": str(time.time_ns()), "timestamp": sent, "from": {"id": user},
            "conversation": {"id": "19:ops@thread.tacv2;messageid=1"},
            "text": f"<at>Groundcrew</at>&nbsp;{text}",
        }  # fmt: skip
        body = json.dumps(message).encode()
        signature = b64encode(hmac.digest(self.secret.encode(), body, "sha256")).decode()
        headers = {"Authorization": f"HMAC {signature}", "Content-Type": "application/json"}
        return requests.post(self.endpoint, data=body, headers=headers, timeout=10)

    def request(self, user: str, text: str) -> str:
        """Ask for what needs another person, and give the id that they have to approve."""
        answer = self.ask(user, text)
        found = re.search(r"approve ([0-9a-f]{16})", answer)
        assert found, answer
        return found[1]

    def wait(self, look: Callable[[], str]) -> str:
        deadline = time.monotonic() + SECONDS
        while not (found := look()):
            assert time.monotonic() < deadline, "no answer came"
            time.sleep(0.3)
        return found

    def cli(self, *arguments: str, code: int = 0) -> str:
        done = run_groundcrew(*arguments, env={**os.environ, **self.stack.settings})
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def ship(self, greeting: str) -> None:
        record = wait_for_deploy(
            self.stack,
            self.site.merge(self.stack.host.url, self.site.propose("8.2.0", greeting)),
            seconds=240,
        )
        assert record.state.value == "done", record


def _hooks(taken: list[dict[str, Any]]) -> Callable[[], web.Application]:
    async def take(request: web.Request) -> web.Response:
        taken.append(await request.json())
        return web.Response(text="ok")

    def make() -> web.Application:
        app = web.Application()
        app.router.add_post("/commands/{id}", take)
        return app

    return make


@pytest.fixture(scope="module")
def chat_place(
    tmp_path_factory: pytest.TempPathFactory, take_account: Callable[[], EmulatedAccount]
) -> Iterator[ChatPlace]:
    try:
        ensure_helm()
    except GroundcrewError as error:
        pytest.skip(str(error))
    folder, secret = tmp_path_factory.mktemp("chatops"), os.urandom(16).hex()
    taken: list[dict[str, Any]] = []
    with (
        Site(folder / "site") as site,
        Served(_hooks(taken)) as hooks,
        MongoServer(folder / "inspection", ttl_monitor=False) as inspection,
    ):
        talk = site.chat.conversations
        for user in ("uAna", "uBob", "uEve"):
            talk.add_user(user, ROOM)
        talk.integration = Integration("")
        text = (ROOT / "policy.yaml").read_text() + POLICY.format(login=getpass.getuser())
        policy = site.policy(text.replace("\nbackup:\n", "\nbackup:\n  restore_targets: [inspection]\n", 1))
        settings = {
            **site.settings,
            "GROUNDCREW_ROCKETCHAT_TOKENS": f"{talk.integration.token} another",
            "GROUNDCREW_ROCKETCHAT_USER": "uCrew",
            "GROUNDCREW_ROCKETCHAT_USER_TOKEN": talk.add_user("uCrew", ROOM),
            "GROUNDCREW_SLACK_SIGNING_SECRETS": secret,
            "GROUNDCREW_TEAMS_SECRETS": b64encode(secret.encode()).decode(),
            "GROUNDCREW_RESTORE_TARGETS": f"inspection={inspection.uri}",
        }
        stack = Stack(folder / "stack", policy=policy, storage=take_account(), environment=settings)
        settings["GROUNDCREW_DRILL_KEY"] = stack.make_identity().strip()
        with stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            place = ChatPlace(stack, site, secret, hooks.url, inspection.uri, taken)
            talk.integration.url = place.endpoint
            yield place
