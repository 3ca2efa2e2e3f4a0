"""What a GitHub webhook asks for: one deploy, nothing, or something it must not have.

Even a signed payload is a hint. The repository and the SHA are taken from it; everything else is asked of
the API by the deploy itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from shared.deploy.model import REPOSITORY, SHA
from shared.deploy.webhook.signature import MAX_BODY_BYTES, find_header, verify_signature

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

_FORM = "application/x-www-form-urlencoded"
# GitHub's form has one; a body of nothing but ampersands must not become a million pieces.
_MAX_FORM_FIELDS = 10
_DELIVERY = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)  # it becomes a blob's name


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """Which branch of which repository is deployed to which environment; one per repository and branch."""

    repository: str
    branch: str
    environment: str
    plan_comments: str = "off"  # whose open pull requests get the plan as a comment, as policy says


@dataclass(frozen=True, slots=True)
class PlanEvent:
    """An open pull request came or changed: its plan is to be commented."""

    repository: str
    pull: int
    delivery: str


@dataclass(frozen=True, slots=True)
class Accept:
    """Deploy this; `pull` is 0 for a push, whose pull request has yet to be found."""

    repository: str
    sha: str
    environment: str
    pull: int
    delivery: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A new webhook that fits the policy; whether the app's rights fit has yet to be asked of GitHub."""

    target: DeployTarget


@dataclass(frozen=True, slots=True)
class Ignore:
    """Fine, but nothing to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Not acceptable; `status` is the HTTP answer."""

    reason: str
    status: int = 400


# What is read of an event; an empty one is whatever stands there, and is judged where it is used.
_READ: Mapping[str, Any] = {
    "action": {},
    "after": {},
    "deleted": {},
    "forced": {},
    "hook": {"events": {}},
    "ref": {},
    "repository": {"full_name": {}},
    "pull_request": {
        "base": {"ref": {}, "repo": {"full_name": {}}},
        "head": {"repo": {"full_name": {}}},
        "merge_commit_sha": {},
        "merged": {},
        "number": {},
    },
}


# What changes an open pull request, or what it would be merged into.
_PLANNED_ACTIONS = ("opened", "synchronize", "reopened", "ready_for_review", "edited")


class _Malformed(Exception):
    """The payload lacks what the event's description promises."""


def read_delivery(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], targets: Sequence[DeployTarget]
) -> Accept | PlanEvent | Ping | Ignore | Reject:
    """The whole intake: size, signature, then content, in this order."""
    # Before the signature: hashing a body of any size is work for whoever asks.
    if len(body) > MAX_BODY_BYTES:
        return Reject(f"the body is larger than {MAX_BODY_BYTES} bytes", 413)
    verdict = verify_signature(body, find_header(headers, "X-Hub-Signature-256"), secrets)
    if not verdict.accepted:
        return Reject(verdict.reason, 401)
    return read_event(body, headers, targets)


def read_event(
    payload: bytes | Mapping[str, Any], headers: Mapping[str, str], targets: Sequence[DeployTarget]
) -> Accept | PlanEvent | Ping | Ignore | Reject:
    """Read a verified event; raises nothing, whatever the bytes."""
    delivery = find_header(headers, "X-GitHub-Delivery") or ""
    event = find_header(headers, "X-GitHub-Event") or ""
    if not _DELIVERY.fullmatch(delivery):
        return Reject("X-GitHub-Delivery is missing or malformed")
    if event not in ("ping", "pull_request", "pull_request_review", "push"):
        return Ignore(f"events of the kind {event[:40]!r} are not deploys")
    try:
        parsed = _parse_payload(_decode_body(payload, find_header(headers, "Content-Type") or ""))
        if event == "ping":
            return _read_ping(parsed, targets)
        repository = _require_text(_require_mapping(parsed, "repository"), "full_name", REPOSITORY)
        # GitHub's names do not tell upper and lower case apart.
        known = [target for target in targets if target.repository.lower() == repository.lower()]
        if not known:
            # Refused, not ignored: GitHub shows it beside the delivery, where the mistake was made.
            return Reject(f"{repository} is not deployed from here", 403)
        return _READERS[event](parsed, known, delivery)
    except _Malformed as error:
        return Reject(str(error))


def _decode_body(payload: bytes | Mapping[str, Any], content_type: str) -> bytes | Mapping[str, Any]:
    """The JSON of the body: a webhook made with GitHub's default content type has it in a form's `payload`.

    https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks
    """
    if isinstance(payload, Mapping) or not content_type.strip().lower().startswith(_FORM):
        return payload
    fields = [field.partition(b"=") for field in payload.split(b"&", _MAX_FORM_FIELDS)]
    values = [value for name, _, value in fields if name == b"payload"]
    # Two payloads could be read differently by us than by whoever signed them.
    if len(values) != 1:
        raise _Malformed("the form has no field payload")
    return unquote_to_bytes(values[0].replace(b"+", b" "))


def _read_ping(payload: Mapping[str, Any], targets: Sequence[DeployTarget]) -> Ping | Ignore | Reject:
    """Whether the webhook fits: GitHub sends a ping when it is made, and shows the answer beside it."""
    if "repository" not in payload:
        return Ignore("ping of a webhook that belongs to no repository")
    repository = _require_text(_require_mapping(payload, "repository"), "full_name", REPOSITORY)
    target = next((one for one in targets if one.repository.lower() == repository.lower()), None)
    if target is None:
        deployed = (
            ", ".join(sorted({one.repository for one in targets})) or "nothing: deploy.repository is unset"
        )
        return Reject(f"ping: {repository} is not deployed from here; policy.yaml deploys {deployed}", 403)
    hook = payload.get("hook")
    events = hook.get("events") if isinstance(hook, Mapping) else None
    if isinstance(events, list) and not {"pull_request", "*"} & set(map(str, events)):
        return Reject("ping: the webhook does not send pull requests; select the event Pull requests", 422)
    return Ping(target)


def _read_pull_request(
    payload: Mapping[str, Any], known: Sequence[DeployTarget], delivery: str
) -> Accept | PlanEvent | Ignore | Reject:
    pull = _require_mapping(payload, "pull_request")
    if payload.get("action") in _PLANNED_ACTIONS:
        return _read_open_pull(pull, known, delivery)
    if payload.get("action") != "closed":
        return Ignore(f"the pull request was not closed but {_quote_value(payload.get('action'))}")
    if pull.get("merged") is not True:
        return Ignore("the pull request was closed without being merged")
    base = _require_mapping(pull, "base")
    if (
        _require_text(_require_mapping(base, "repo"), "full_name", REPOSITORY).lower()
        != known[0].repository.lower()
    ):
        return Reject("the pull request's base is in another repository", 403)
    target = next((target for target in known if target.branch == base.get("ref")), None)
    if target is None:
        return Ignore(f"merges into {_quote_value(base.get('ref'))} are not deployed")
    number = _require_number(pull)
    sha = _require_text(pull, "merge_commit_sha", SHA)
    return Accept(target.repository, sha, target.environment, number, delivery)


def _read_review(
    payload: Mapping[str, Any], known: Sequence[DeployTarget], delivery: str
) -> PlanEvent | Ignore | Reject:
    """A review opens or closes a gate, which the comment tells."""
    return _read_open_pull(_require_mapping(payload, "pull_request"), known, delivery)


def _read_open_pull(
    pull: Mapping[str, Any], known: Sequence[DeployTarget], delivery: str
) -> PlanEvent | Ignore:
    """Whether policy wants its plan; the job asks GitHub the same again."""
    base = _require_mapping(pull, "base")
    target = next((target for target in known if target.branch == base.get("ref")), None)
    if target is None or target.plan_comments == "off":
        return Ignore("plans are not commented" if target else "the pull request goes into another branch")
    head = pull.get("head")
    repository = head.get("repo") if isinstance(head, Mapping) else None
    name = repository.get("full_name") if isinstance(repository, Mapping) else None
    # Of a fork that was deleted GitHub sends null.
    is_fork = not isinstance(name, str) or name.lower() != target.repository.lower()
    if is_fork and target.plan_comments != "forks":
        return Ignore("plans of forks are not commented")
    return PlanEvent(target.repository, _require_number(pull), delivery)


def _require_number(pull: Mapping[str, Any]) -> int:
    number = pull.get("number")
    if type(number) is not int or number < 1:
        raise _Malformed("pull_request.number is missing or malformed")
    return number


def _read_push(
    payload: Mapping[str, Any], known: Sequence[DeployTarget], delivery: str
) -> Accept | Ignore | Reject:
    target = next((target for target in known if payload.get("ref") == f"refs/heads/{target.branch}"), None)
    if target is None:
        return Ignore(f"pushes to {_quote_value(payload.get('ref'))} are not deployed")
    if payload.get("deleted") is not False:
        return Ignore(f"the branch {target.branch} was deleted")
    # Not `is True`: a field that is missing is taken for the worse of the two.
    if payload.get("forced") is not False:
        return Reject(f"a forced push to {target.branch} has no review behind it", 403)
    return Accept(target.repository, _require_text(payload, "after", SHA), target.environment, 0, delivery)


_READERS = {"pull_request": _read_pull_request, "pull_request_review": _read_review, "push": _read_push}


def _quote_value(value: object) -> str:
    """A text of the payload as an answer may quote it: short, on one line, and certain to be encodable."""
    return ascii(value)[1:-1][:80] if isinstance(value, str) else f"a {type(value).__name__}"


def _parse_payload(payload: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """What is looked at of the event: of 25 KB that GitHub sends, a dozen fields are made into objects."""
    from pydantic_core import ValidationError

    if isinstance(payload, Mapping):
        return payload
    try:
        parsed: Mapping[str, Any] = _payload_validator().validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise _Malformed("the body is not JSON") from None
        where = ".".join(map(str, first["loc"]))
        fault = f"{where} is missing or malformed" if where else "the body is not a JSON object"
        raise _Malformed(fault) from None
    return parsed


@cache
def _payload_validator() -> SchemaValidator:
    from pydantic_core import SchemaValidator
    from pydantic_core import core_schema as schema

    def validate_payload(fields: Mapping[str, Any]) -> Any:
        known = {
            name: validate_payload(inner) if inner else schema.any_schema() for name, inner in fields.items()
        }
        optional = {name: schema.typed_dict_field(one, required=False) for name, one in known.items()}
        return schema.typed_dict_schema(optional)

    return SchemaValidator(validate_payload(_READ))


def _require_mapping(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = payload.get(name)
    if not isinstance(part, Mapping):
        raise _Malformed(f"{name} is missing or malformed")
    return part


def _require_text(payload: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _Malformed(f"{name} is missing or malformed")
    return value
