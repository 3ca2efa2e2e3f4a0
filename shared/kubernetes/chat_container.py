"""The container of Rocket.Chat that manifests start, as far as it can be started elsewhere.

What comes from a Secret, a ConfigMap or the pod itself stays behind: the Secrets of production have no
business in another namespace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shared.kernel.errors import NotFound
from shared.kubernetes.images import Image, as_mapping, as_mappings, find_pod_spec, is_chat_image
from shared.kubernetes.manifest import Manifest

_PORT = 3000  # where the official image listens, and the chart's containerPort
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ChatContainer:
    """What is started. `env` are the variables with a value of their own, in their order.

    `left_out` names those whose value lies elsewhere or is secret; `user` is the numeric user that the chart
    runs it as, None if it names none.
    """

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    user: int | None = None
    port: int = _PORT

    @property
    def sha256(self) -> str:
        """A digest of all of it: two containers with the same one start the same thing."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def find_chat_container(manifests: Sequence[Manifest], secrets: Collection[str] = ()) -> ChatContainer:
    """The first container of Rocket.Chat among what keeps running. Raises NotFound if there is none.

    A variable whose value holds one of `secrets` is left out.
    """
    for manifest in manifests:
        if manifest.get("kind") not in ("Deployment", "StatefulSet"):
            continue
        pod = find_pod_spec(manifest)
        containers = as_mappings(pod.get("containers"))
        for container in containers:
            image = str(container.get("image") or "")
            # As everywhere: by the image's name, or by the container's where a team builds its own.
            if is_chat_image(Image.parse(image)) or container.get("name") == "rocketchat":
                return _read_container(pod, container, image, secrets)
    hint = "Call the container rocketchat, or the image rocket.chat"
    raise NotFound("nothing that starts Rocket.Chat was found", hint=hint)


def _read_container(pod: Any, container: Any, image: str, secrets: Collection[str]) -> ChatContainer:
    env: list[tuple[str, str]] = []
    left_out: list[str] = []
    for variable in as_mappings(container.get("env")):
        name, value = str(variable.get("name") or ""), variable.get("value")
        if not isinstance(value, str) or any(secret in value for secret in secrets if secret):
            left_out.append(name)
        else:
            env.append((name, value))
    for source in as_mappings(container.get("envFrom")):
        left_out += [f"all of {as_mapping(one).get('name', kind)}" for kind, one in source.items()
                     if isinstance(one, dict)]  # fmt: skip
    user = as_mapping(container.get("securityContext")).get("runAsUser")
    user = user if user is not None else as_mapping(pod.get("securityContext")).get("runAsUser")
    ports = [one.get("containerPort") for one in as_mappings(container.get("ports"))]
    port = next((one for one in ports if type(one) is int and 0 < one <= _HIGHEST_PORT), _PORT)
    return ChatContainer(
        image,
        _texts(container.get("command")),
        _texts(container.get("args")),
        tuple(env),
        tuple(left_out),
        user if type(user) is int and user > 0 else None,
        port,
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
