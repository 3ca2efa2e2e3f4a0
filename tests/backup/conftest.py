"""The backup in memory, see tests/support/backup_world.py."""

import pytest

from shared.backup import job as backup
from tests.support.backup_world import make_world, world

__all__ = ["make_world", "sealed", "world"]


@pytest.fixture
def sealed(make_world):
    """One night's set in several parts, sealed."""
    world = make_world(400)
    world.seed()
    backup.run_nightly(world.job())
    world.work(world.job())
    return world
