"""The fleet in memory, see tests/support/power_world.py."""

from tests.support.power_world import at, make_world, world

__all__ = ["at", "make_world", "world"]
