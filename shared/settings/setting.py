"""What a setting is; `definitions` and `chat_definitions` have all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment variable (an app setting in Azure) that Groundcrew reads."""

    name: str
    purpose: str
    example: str
    default: str | None = None  # None: it must be given where it is needed
    # Masked in every message, kept in the vault by Terraform, and read from a file by `groundcrew init`.
    secret: bool = False
