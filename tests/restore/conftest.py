"""The backup in memory, see tests/support/backup_world.py."""

from tests.support.backup_world import make_world, world

__all__ = ["make_world", "world"]
