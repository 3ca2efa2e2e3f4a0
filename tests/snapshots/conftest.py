"""A world of disks and snapshots for each test."""

from __future__ import annotations

import pytest

from tests.support.snapshot_world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World
