"""`python -m local.github`: the stand-in as a process, with one repository, until it is terminated."""

from __future__ import annotations

import signal
import threading

from local.github.server import GitHubServer
from local.process import announce


def main() -> None:
    """Serve until a signal comes; announces where, and the token."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with GitHubServer() as server:
        # A repository with one commit: an empty one has no branch that anything could be asked of.
        server.repository("acme/chat").commit({"README.md": b"# chat\n"})
        announce(url=server.url, token=server.token)
        stop.wait()


if __name__ == "__main__":
    main()
