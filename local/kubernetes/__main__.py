"""Serves the stand-in as a process of its own: `python -m local.kubernetes --kubeconfig FILE`."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from local.kubernetes.server import KubernetesServer
from local.process import announce, exit_with_parent


def main() -> None:
    """Until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.kubernetes", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path, help="file that keeps the objects from run to run")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="file to write the kubeconfig to")
    parser.add_argument("--version", default="1.31", help="version of Kubernetes to be")
    parser.add_argument("--plain", action="store_true", help="HTTP; Helm and kubectl need HTTPS")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    exit_with_parent()
    server = KubernetesServer(options.state, options.version, tls=not options.plain, port=options.port)
    with server:
        server.kubeconfig(options.kubeconfig)
        announce(url=server.url, kubeconfig=str(options.kubeconfig))
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
