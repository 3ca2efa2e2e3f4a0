"""Which images manifests start, and which version of Rocket.Chat and of MongoDB that is.

What stands in a chart is what somebody wrote, of any shape; where it is not what Kubernetes takes there is
nothing to find.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.kernel.versions import Version
from shared.kubernetes.manifest import Manifest

_CHAT = ("rocket.chat", "rocketchat")
_MONGODB = ("mongodb", "mongo", "mongodb-community-server")


@dataclass(frozen=True, slots=True)
class Image:
    """A reference to an image: `registry/path/name:tag@digest`, the last two of which may be empty."""

    text: str
    name: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Image:
        """https://github.com/distribution/reference (reference.go: the grammar)"""
        place, _, digest = text.partition("@")
        path, _, tag = place.rpartition(":")
        if not path or "/" in tag:  # the colon is that of a port, or there is none
            path, tag = place, ""
        return cls(text, path.rpartition("/")[2], tag, digest)

    @property
    def version(self) -> str:
        """The tag if it is a version; empty if there is none, or one that may point anywhere tomorrow."""
        return self.tag if Version.parse(self.tag) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list; none if it is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []


def pod_of(manifest: Manifest) -> Mapping[str, Any]:
    """The spec of the pods that an object starts, CronJobs and bare Pods included; empty if none."""
    spec = mapping(manifest.get("spec"))
    if manifest.get("kind") == "Pod":
        return spec
    if manifest.get("kind") == "CronJob":
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    return mapping(mapping(spec.get("template")).get("spec"))


def containers(manifest: Manifest) -> list[Mapping[str, Any]]:
    """All containers of an object's pods, those that run first in front."""
    pod = pod_of(manifest)
    return [*mappings(pod.get("initContainers")), *mappings(pod.get("containers"))]


def images(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The images of all containers, of Jobs and CronJobs too."""
    for manifest in manifests:
        for container in containers(manifest):
            yield str(container.get("image") or "")


def chat_image(manifests: Sequence[Manifest]) -> str:
    """The image of Rocket.Chat that the manifests start, several joined by commas; empty if there is none."""
    return ", ".join(sorted({image.text for image in _chat(manifests)}))


def chat_version(manifests: Sequence[Manifest]) -> str:
    """The version of Rocket.Chat that the manifests start; empty if it cannot be told for certain.

    It is told by the images' tags alone. The label app.kubernetes.io/version and the chart's appVersion say
    what the chart was made for, and stay what they are when another digest is put in.
    """
    versions = {image.version for image in _chat(manifests)}
    return versions.pop() if len(versions) == 1 else ""


def same_image(before: str, after: str) -> bool:
    """Whether two images are the same bytes for certain: by digest, or by a tag that is a version."""
    old, new = _bytes(before), _bytes(after)
    return old == new and "" not in old


def _bytes(joined: str) -> set[str]:
    """What each of the images is told by; empty for one that may be another tomorrow."""
    parsed = [Image.parse(text) for text in joined.split(", ")]
    return {image.digest or (image.text if image.version else "") for image in parsed}


def mongodb_image(manifests: Sequence[Manifest]) -> str:
    """The image of the MongoDB that the manifests start; empty if they start none."""
    return next((image.text for image in _running(manifests) if image.name in _MONGODB), "")


def mongodb_version(manifests: Sequence[Manifest]) -> str:
    """The tag of the MongoDB that the manifests start; empty if they start none."""
    return Image.parse(mongodb_image(manifests)).tag


def _chat(manifests: Sequence[Manifest]) -> list[Image]:
    """By the image's name; a team that builds its own is known by the name of the container."""
    found = [image for image in map(Image.parse, images(manifests)) if image.name in _CHAT]
    return found or list(_running(manifests, container="rocketchat"))


def _running(manifests: Sequence[Manifest], container: str = "") -> Iterator[Image]:
    """The images of what keeps running, of containers of that name if one is given."""
    for manifest in manifests:
        if manifest.get("kind") in ("Deployment", "StatefulSet"):
            for one in mappings(pod_of(manifest).get("containers")):
                if not container or one.get("name") == container:
                    yield Image.parse(str(one.get("image") or ""))
