"""A GitHub to develop and test against: the REST endpoints, the webhooks and the faults a deploy meets.

The shapes follow GitHub's REST reference (https://docs.github.com/en/rest, API version 2022-11-28); the state
is made in memory by calls on `GitHubServer.repository(...)`. Nothing here checks who may merge what: that is
what the code under test has to find out.
"""

from local.github.history import Commit, Symlink
from local.github.model import Pull, Repository
from local.github.server import GitHubServer

__all__ = ["Commit", "GitHubServer", "Pull", "Repository", "Symlink"]
