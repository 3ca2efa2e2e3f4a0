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
    secret: bool = False
