"""The world of the chat's commands, see tests/support/chat_world.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.support.chat_world import ChatWorld


@pytest.fixture
def world() -> ChatWorld:
    return ChatWorld()


@pytest.fixture
def later(world: ChatWorld) -> Callable[[timedelta], None]:
    def advance(by: timedelta) -> None:
        world.clock.advance(by)

    return advance
