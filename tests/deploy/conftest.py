"""The world of a deploy in memory, for all tests of this folder."""

from tests.support.deploy_world import files, make_world, world

__all__ = ["files", "make_world", "world"]
