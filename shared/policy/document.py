"""policy.yaml as a whole: the frozen type, what is wrong with a text, and the JSON Schema for editors."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from shared.kernel.errors import UsageError
from shared.policy.yaml_lines import Mistake, Path, format_path, parse_yaml

from .access import AccessPolicy
from .alerts import AlertPolicy
from .backup import BackupPolicy
from .base import Section, Zone, reject
from .certificates import CertificatePolicy
from .chat import ChatPolicy
from .cost import CostPolicy
from .deploy import DeployPolicy
from .hardening import HardeningPolicy
from .notify import NotifyPolicy
from .people import PeoplePolicy
from .power import PowerPolicy
from .probes import ProbesPolicy
from .secrets import SecretsPolicy
from .snapshots import SnapshotPolicy
from .values import format_policy_duration


class Policy(Section):
    """Everything the team decides, in one file under review."""

    timezone: Zone = Field(default="UTC", description="IANA zone of all local times")
    backup: BackupPolicy = Field(default=BackupPolicy(), description="nightly backups")
    power: PowerPolicy = Field(default=PowerPolicy(), description="when machines run")
    snapshots: SnapshotPolicy = Field(default=SnapshotPolicy(), description="snapshots of disks")
    certificates: CertificatePolicy = Field(
        default=CertificatePolicy(), description="certificates and their renewal"
    )
    secrets: SecretsPolicy = Field(
        default=SecretsPolicy(), description="where secrets are kept, and how old they may get"
    )
    hardening: HardeningPolicy = Field(
        default=HardeningPolicy(), description="the audit of settings, people, cluster and network"
    )
    cost: CostPolicy = Field(default=CostPolicy(), description="the cost report")
    deploy: DeployPolicy = Field(default=DeployPolicy(), description="deploys by merge")
    probes: ProbesPolicy = Field(
        default=ProbesPolicy(), description="what is tried after a deploy and a start, as people do it"
    )
    notify: NotifyPolicy = Field(default=NotifyPolicy(), description="who is notified")
    alerts: AlertPolicy = Field(default=AlertPolicy(), description="alerts of Alertmanager and Azure Monitor")
    access: AccessPolicy = Field(default=AccessPolicy(), description="who may use the pages")
    people: PeoplePolicy = Field(
        default=(), description="who is who: the ids of one person at every platform, each id once"
    )
    chat: ChatPolicy = Field(default=ChatPolicy(), description="who may order what from chat")

    @model_validator(mode="after")
    def _check_subjects(self) -> Self:
        """A rule for somebody who is not there would look as if it allowed something."""
        known = {person.id for person in self.people}
        known |= {f"role:{role}" for person in self.people for role in person.roles}
        for rule in self.chat.rules:
            if unknown := [subject for subject in rule.who if subject not in known]:
                names = ", ".join(sorted(known)) or "nobody"
                reject(f"chat.rules names {unknown[0]}, whom people does not", f"people has: {names}")
        return self

    @model_validator(mode="after")
    def _check_refreshes(self) -> Self:
        """A window in which nothing is ever refreshed would look as if MicroK8s were kept up to date."""
        if self.power.refresh_windows and self.snapshots.disks is None:
            reject(
                "power.refresh_windows needs snapshots: MicroK8s is refreshed after one of the same day",
                "Choose disks under snapshots, or take refresh_windows out",
            )
        return self


def find_mistakes(text: str) -> list[Mistake]:
    """Every mistake in the text of a policy.yaml, in the order of the lines; empty if it can be used."""
    return _validate(text)[1]


def parse_policy(text: str) -> Policy:
    """The policy. Raises `UsageError` with all mistakes and their lines."""
    policy, mistakes = _validate(text)
    if policy is None:
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise UsageError(
            f"policy.yaml has {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}",
            value=f"\n{lines}\n",
            hint="See docs/policy.md, and try again with `groundcrew policy check`",
        )
    return policy


def _validate(text: str) -> tuple[Policy | None, list[Mistake]]:
    document = parse_yaml(text)
    mistakes, policy = list(document.mistakes), None
    if document.data is not None:
        try:
            # As JSON, since strict means there: arrays are tuples, texts are dates, but "3" is no number.
            policy = Policy.model_validate_json(json.dumps(document.data))
        except ValidationError as error:
            for details in _drop_follow_up_errors(error.errors(include_url=False, include_input=False)):
                path = details["loc"]
                place = document.place(path, key=details["type"] == "extra_forbidden")
                mistakes.append(Mistake(*place, format_path(path), *_explain(details)))
    # A value that could not be read is told once, not again for what stood in its stead.
    # Reversed, so that of two at one place the first stays: the form's complaint, not pydantic's about the
    # None in its stead.
    first = {(mistake.line, mistake.column, mistake.path): mistake for mistake in reversed(mistakes)}
    return (None if mistakes else policy), sorted(first.values())


def _drop_follow_up_errors(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without lists that are too short only because their items were rejected."""
    # pydantic counts a rejected item as absent: `approvers: [a b]` would be told as wrong and as an empty
    # list.
    paths = [details["loc"] for details in errors]
    return [
        details
        for details in errors
        if details["type"] != "too_short" or not any(path[:-1] == details["loc"] for path in paths if path)
    ]


# pydantic's words are for programmers ("Input should be a valid tuple"); these are for whoever edits YAML.
_KINDS = {
    "int_type": ("not a whole number", "Write digits without quotes"),
    "string_type": ("not a text", "Put it in quotes"),
    "bool_type": ("neither true nor false", "Write true or false, without quotes"),
    "tuple_type": ("not a list", "Write [one, two], or one item per line after '- '"),
    "date_type": ("not a date", "Write YYYY-MM-DD"),
    "date_parsing": ("not a date of the calendar", "Write YYYY-MM-DD"),
    "date_from_datetime_parsing": ("not a date of the calendar", "Write YYYY-MM-DD"),
    "too_short": ("an empty list", "Write at least one, or remove the key"),
    "missing": ("missing", "Add it; docs/policy.md says what it means"),
}


def _explain(details: ErrorDetails) -> tuple[str, str]:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "policy":
        return context["problem"], context["hint"]
    if kind in _KINDS:
        return _KINDS[kind]
    if kind == "extra_forbidden":
        return _unknown_key(details["loc"])
    if kind == "literal_error":
        return "none of the choices", f"Write {context['expected']}"
    if kind == "string_pattern_mismatch":
        return "not of the right form", f"It has to match {context['pattern']}"
    if kind in ("less_than_equal", "greater_than_equal"):
        (bound,) = context.values()
        more = kind == "greater_than_equal"
        return f"{'less' if more else 'more'} than {bound}", f"Write {bound} or {'more' if more else 'less'}"
    if kind == "model_type":
        return "not a mapping", "Write its keys below it, indented"
    problem = details["msg"].removeprefix("Input ").removeprefix("Value ")
    return problem, "docs/policy.md says what is possible"


def _unknown_key(path: Path) -> tuple[str, str]:
    key, section = str(path[-1]), _find_section(path[:-1])
    fields = list(section.model_fields) if section else []
    near = get_close_matches(key.lower(), fields, 1, 0.6)
    # Merge keys are of YAML 1.1, and a merged value would have no line of its own to point at.
    if key == "<<":
        return "merge keys are not part of YAML 1.2", "Write the keys out"
    if near:
        return f"unknown key '{key}'", f"Did you mean {near[0]}?"
    return f"unknown key '{key}'", f"Known here: {', '.join(fields)}"


def _find_section(path: Path) -> type[BaseModel] | None:
    section: type[BaseModel] = Policy
    for step in path:
        # Lists do not change the section: `machines[0].name` is a field of the items' type.
        if isinstance(step, int):
            continue
        field = section.model_fields.get(step)
        inner = field and _section_in(field.annotation)
        if not inner:
            return None
        section = inner
    return section


def _section_in(annotation: object) -> type[BaseModel] | None:
    """The section inside `X`, `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for inner in typing.get_args(annotation) if (section := _section_in(inner))), None)


class _Schema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        # pydantic would write ISO 8601 (`P14D`), which the policy itself does not take.
        if isinstance(dft, timedelta):
            return format_policy_duration(dft)
        # A section's default says nothing that its own keys do not say.
        return super().encode_default({} if isinstance(dft, BaseModel) else dft)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of policy.yaml, as in docs/policy.schema.json."""
    schema = Policy.model_json_schema(schema_generator=_Schema)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **_without_titles(schema),
        "title": "Groundcrew's policy.yaml",
    }


def _without_titles(value: Any) -> Any:
    if isinstance(value, Mapping):
        # A property may be called title; a title that is a text is pydantic's repetition of the name.
        remaining = (
            (key, inner) for key, inner in value.items() if key != "title" or not isinstance(inner, str)
        )
        return {key: _without_titles(inner) for key, inner in remaining}
    return [_without_titles(inner) for inner in value] if isinstance(value, list) else value
