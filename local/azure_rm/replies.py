"""What the stand-in answers with: a status, a JSON body, headers; errors in Resource Manager's shape.

Shape and codes: https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/common-api-details.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """An answer; a body of None is empty, as in 202 and 204."""

    status: int
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ArmError(Exception):
    """An answer that is an error: `{"error": {"code", "message"}}`."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        """As an answer."""
        return Reply(self.status, error_body(self.code, self.message), self.headers)


def error_body(code: str, message: str) -> Json:
    """The body of every error."""
    return {"error": {"code": code, "message": message}}


def not_found_error(kind: str, name: str, group: str) -> ArmError:
    """404 for a resource that is not there."""
    return ArmError(
        404, "ResourceNotFound", f"The Resource '{kind}/{name}' under resource group '{group}' was not found."
    )


def busy_error(name: str) -> ArmError:
    """409 while another operation on the same resource is running."""
    return ArmError(
        409, "Conflict", f"Another operation on '{name}' is in progress; the request was not taken."
    )
