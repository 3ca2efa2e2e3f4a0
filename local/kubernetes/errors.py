"""The failures of the API as Kubernetes words them: a `Status` object with reason, code and details.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON."""


def success_status(kind: str, name: str, group: str = "", uid: str = "") -> Object:
    """The `Status` with which a deletion is answered."""
    details = (
        {"name": name, "kind": kind} | ({"group": group} if group else {}) | ({"uid": uid} if uid else {})
    )
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


class ApiError(Exception):
    """A refusal that becomes the answer's body and code."""

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> Object:
        """The `Status` object."""
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified_name(plural: str, group: str) -> str:
    """`deployments.apps`, or `pods`."""
    return f"{plural}.{group}" if group else plural


def _status_details(name: str, group: str, kind: str, causes: Sequence[Object] = ()) -> Object:
    details: Object = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    if causes:
        details["causes"] = list(causes)
    return details


def not_found_error(plural: str, group: str, name: str) -> ApiError:
    """404: no object of that name."""
    message = f'{qualified_name(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _status_details(name, group, plural))


def no_such_path() -> ApiError:
    """404: nothing is served under this path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409: a create met an object of that name."""
    message = f'{qualified_name(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _status_details(name, group, plural))


def conflict_error(plural: str, group: str, name: str, why: str = "") -> ApiError:
    """409: a conditional write lost."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {qualified_name(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _status_details(name, group, plural))


def apply_conflict(conflicts: Sequence[tuple[str, str]]) -> ApiError:
    """409 of server-side apply: `(manager, path)` of each field that somebody else owns."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in conflicts
    ]
    by_manager: dict[str, list[str]] = {}
    for manager, path in conflicts:
        by_manager.setdefault(manager, []).append(path)
    parts = [
        f"conflict with {manager}: {paths[0]}"
        if len(conflicts) == 1
        else f"conflicts with {manager}:\n" + "\n".join(f"- {path}" for path in paths)
        for manager, paths in by_manager.items()
    ]
    count = "1 conflict" if len(conflicts) == 1 else f"{len(conflicts)} conflicts"
    return ApiError(409, "Conflict", f"Apply failed with {count}: " + "\n".join(parts), {"causes": causes})


def invalid_error(kind: str, group: str, name: str, causes: Sequence[tuple[str, str, str]]) -> ApiError:
    """422: `(field, reason, message)` of each thing that is wrong with the object."""
    messages = [f"{field}: {message}" for field, _, message in causes]
    text = messages[0] if len(messages) == 1 else "[" + ", ".join(messages) + "]"
    listed = [{"reason": reason, "message": message, "field": field} for field, reason, message in causes]
    message = f'{qualified_name(kind, group)} "{name}" is invalid: {text}'
    return ApiError(422, "Invalid", message, _status_details(name, group, kind, listed))


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def forbidden_error(plural: str, group: str, name: str, why: str) -> ApiError:
    """403, by the authorizer or by admission."""
    target = f'{qualified_name(plural, group)} "{name}"' if name else qualified_name(plural, group)
    return ApiError(403, "Forbidden", f"{target} is forbidden: {why}", _status_details(name, group, plural))


def expired_error(message: str) -> ApiError:
    """410: the revision or the continue token is older than what is kept."""
    return ApiError(410, "Expired", message)


def unsupported_media(content_type: str, allowed: Sequence[str]) -> ApiError:
    """415."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(allowed)
        if content_type
        else "no content type was given"
    )
    return ApiError(415, "UnsupportedMediaType", message)
