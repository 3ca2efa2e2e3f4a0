"""What runs in the stand-in's pods: a rehearsal's programs, and only in the namespace of rehearsals."""

from __future__ import annotations

from pathlib import Path

from local.kubernetes import KubernetesServer
from local.rocketchat.upgraded import run_in_pods


def test_the_releases_own_rocket_chat_is_not_taken_for_that_of_a_rehearsal(tmp_path: Path) -> None:
    # Both have the same name and image; in the release's pod is no MongoDB, so that it would end at once.
    container = {"name": "rocketchat", "image": "registry.rocket.chat/rocketchat/rocket.chat:8.3.0"}
    with KubernetesServer() as server:
        run_in_pods(server, tmp_path / "copies")
        assert server.behaviour.find_program("groundcrew-rehearsal", container) is not None
        assert server.behaviour.find_program("rocketchat", container) is None
        other = {**container, "image": "docker.io/library/nginx:1"}
        assert server.behaviour.find_program("groundcrew-rehearsal", other) is None
