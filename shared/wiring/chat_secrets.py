"""The commands of chat-ops about secrets. A chat carries no value: what is given is given at a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.chatops.deps import CommandHandler
from shared.chatops.model import CommandCall, CommandPlan
from shared.kernel.errors import Refused

if TYPE_CHECKING:
    from shared.secrets_rotation.deps import RotationDeps


@dataclass(frozen=True)
class SecretCommands:
    """`secrets` and `rotate`. `build` makes what the rotation needs, when a command is for it."""

    build: Callable[[], RotationDeps]

    def handlers(self) -> dict[str, CommandHandler]:
        """By command's name."""
        return {
            "secrets": CommandHandler(self.list_secrets),
            "rotate": CommandHandler(self.plan_rotation, self.rotate),
        }

    def list_secrets(self, _call: CommandCall) -> CommandPlan:
        """Every secret of policy in a line, without values."""
        from shared.secrets_rotation.job import list_secrets as list_all

        lines = []
        for one in list_all(self.build()):
            due = f", due {one.due:%Y-%m-%d}" if one.due else ""
            last = f"; {one.last.step} {one.last.step_since:%Y-%m-%d} by {one.last.by}" if one.last else ""
            lines.append(f"{one.state}: {one.name}{due}{last}")
        return CommandPlan("\n".join(lines) or "policy knows no secrets")

    def plan_rotation(self, call: CommandCall) -> CommandPlan:
        """The steps. Raises Refused for what is in the way, and for a secret that has to be given."""
        from shared.policy.secrets import GIVEN_KINDS
        from shared.secrets_rotation.job import plan_rotation as plan

        deps, name = self.build(), call.arguments["name"]
        steps, last = plan(deps, name), deps.records().load(name)
        under_way = last is not None and not last.ended
        if deps.entry(name).kind in GIVEN_KINDS and not under_way:
            hint = f"At a terminal: groundcrew secrets rotate {name} --given FILE"
            raise Refused("the new secret has to be given, which is not for a chat", value=name, hint=hint)
        if steps.obstacle:
            raise Refused("it cannot be rotated now", value=steps.obstacle)
        # The last rotation is in the target: an approval is for this one, and not for the next as well.
        target = f"{name} after {last.id} {last.step}" if last is not None else f"{name}, never rotated"
        return CommandPlan(str(steps), target=target)

    def rotate(self, call: CommandCall, _plan: CommandPlan, by: str) -> str:
        """Do it; what has to wait is gone on with by the timer."""
        from shared.secrets_rotation.job import rotate_secret
        from shared.secrets_rotation.model import NotYet

        try:
            ended = rotate_secret(self.build(), call.arguments["name"], by=by)
        except NotYet as error:
            return f"begun; the timer goes on with it ({error.message})"
        result = ended.failure or f"{ended.new_label} replaced {ended.old_label}"
        text = f"{ended.name}: {ended.step}: {result}"
        return f"{text}; to be done by a person: {ended.remains}" if ended.remains else text
