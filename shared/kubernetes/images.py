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

# The last part of the name, whatever registry it is mirrored to.
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


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings in a list; none if it is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []


def find_pod_spec(manifest: Manifest) -> Mapping[str, Any]:
    """The spec of the pods that an object starts, CronJobs and bare Pods included; empty if none."""
    spec = as_mapping(manifest.get("spec"))
    if manifest.get("kind") == "Pod":
        return spec
    if manifest.get("kind") == "CronJob":
        spec = as_mapping(as_mapping(spec.get("jobTemplate")).get("spec"))
    return as_mapping(as_mapping(spec.get("template")).get("spec"))


def list_containers(manifest: Manifest) -> list[Mapping[str, Any]]:
    """All containers of an object's pods, those that run first in front."""
    pod = find_pod_spec(manifest)
    return [*as_mappings(pod.get("initContainers")), *as_mappings(pod.get("containers"))]


def list_images(manifests: Sequence[Manifest]) -> Iterator[str]:
    """The images of all containers, of Jobs and CronJobs too."""
    for manifest in manifests:
        for container in list_containers(manifest):
            yield str(container.get("image") or "")


def is_chat_image(image: Image) -> bool:
    """Whether the image is called as Rocket.Chat's is."""
    return image.name in _CHAT


def find_chat_image(manifests: Sequence[Manifest]) -> str:
    """The image of Rocket.Chat that the manifests start, several joined by commas; empty if there is none."""
    return ", ".join(sorted({image.text for image in _chat_images(manifests)}))


def find_chat_version(manifests: Sequence[Manifest]) -> str:
    """The version of Rocket.Chat that the manifests start; empty if it cannot be told for certain.

    It is told by the images' tags alone. The label app.kubernetes.io/version and the chart's appVersion say
    what the chart was made for, and stay what they are when another digest is put in.
    """
    # One for certain or none: of two versions in one release nobody can say which one people meet.
    versions = {image.version for image in _chat_images(manifests)}
    return versions.pop() if len(versions) == 1 else ""


def is_same_image(before: str, after: str) -> bool:
    """Whether two images are the same bytes for certain: by digest, or by a tag that is a version."""
    old, new = _image_identities(before), _image_identities(after)
    return old == new and "" not in old


def _image_identities(joined: str) -> set[str]:
    """What each of the images is told by; empty for one that may be another tomorrow."""
    parsed = [Image.parse(text) for text in joined.split(", ")]
    return {image.digest or (image.text if image.version else "") for image in parsed}


def find_mongodb_image(manifests: Sequence[Manifest]) -> str:
    """The image of the MongoDB that the manifests start; empty if they start none."""
    return next((image.text for image in _running_images(manifests) if image.name in _MONGODB), "")


def find_mongodb_version(manifests: Sequence[Manifest]) -> str:
    """The tag of the MongoDB that the manifests start; empty if they start none."""
    return Image.parse(find_mongodb_image(manifests)).tag


def _chat_images(manifests: Sequence[Manifest]) -> list[Image]:
    """By the image's name; a team that builds its own is known by the name of the container."""
    images = [image for image in map(Image.parse, list_images(manifests)) if is_chat_image(image)]
    return images or list(_running_images(manifests, container="rocketchat"))


def _running_images(manifests: Sequence[Manifest], container: str = "") -> Iterator[Image]:
    """The images of what keeps running, of containers of that name if one is given."""
    for manifest in manifests:
        # Not Jobs: what one of them starts once, say an older `mongosh`, is not what runs.
        if manifest.get("kind") in ("Deployment", "StatefulSet"):
            for one in as_mappings(find_pod_spec(manifest).get("containers")):
                if not container or one.get("name") == container:
                    yield Image.parse(str(one.get("image") or ""))
