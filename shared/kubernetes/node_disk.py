"""How much of a node's disk is free, as Prometheus has it; which images lie on it, as the node has it.

Kubernetes tells how large a node's disk is and not how much of it is free, and the kubelet's own figures take
`nodes/proxy`, which is the right to run commands in every pod:
https://kubernetes.io/docs/concepts/security/rbac-good-practices/#access-to-proxy-subresource-of-nodes
But node-exporter measures what is free to others than root, and Prometheus knows it.

Pure, and of all that comes from outside nothing is believed: what does not look as it should is not measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.kubernetes.manifest import Manifest

# Where images and pods lie: in MicroK8s' containerd, in any other containerd, with the kubelet.
# https://github.com/canonical/microk8s/issues/105, https://kubernetes.io/docs/reference/node/kubelet-files/
DATA_FOLDERS = (
    "/var/snap/microk8s/common/var/lib/containerd",
    "/var/lib/containerd",
    "/var/lib/kubelet",
)


def _ancestors(folder: str) -> list[str]:
    """The folder and all above it, the longest first: one of them is where its filesystem is mounted."""
    parts = folder.strip("/").split("/")
    return ["/" + "/".join(parts[:length]) for length in range(len(parts), -1, -1)]


_MOUNTPOINTS = sorted({place for folder in DATA_FOLDERS for place in _ancestors(folder)})
# Only what is looked at, so that a node with a thousand mounts answers as shortly as any.
QUERY = 'node_filesystem_avail_bytes{mountpoint=~"' + "|".join(_MOUNTPOINTS) + '"}'


def parse_free_disk(answer: object, nodes: Iterable[Manifest]) -> dict[str, float]:
    """Free bytes by node, out of Prometheus' answer to `QUERY`; a node that is not in there was not measured.

    https://prometheus.io/docs/prometheus/latest/querying/api/#instant-vectors
    """
    samples = list(_parse_samples(answer))
    free_bytes = {
        name: _node_free_bytes(samples, name, _node_addresses(item))
        for item in nodes
        if (name := _node_name(item))
    }
    # A value that cannot be is not measured, which closes no gate by itself and says so.
    return {name: size for name, size in free_bytes.items() if math.isfinite(size) and size >= 0}


def _node_free_bytes(
    samples: Iterable[tuple[Mapping[str, Any], float]], name: str, addresses: frozenset[str]
) -> float:
    mounted: dict[str, list[float]] = {}
    for labels, size in samples:
        if _is_sample_of(labels, name, addresses):
            mounted.setdefault(str(labels.get("mountpoint")), []).append(size)
    sizes = mounted.get(_data_mountpoint(mounted), [math.nan])
    # After a restart the old exporter's sample can be there beside the new one's for five minutes: the lesser
    # counts. A value that makes no sense spoils the others, rather than that another disk is taken for this.
    return math.nan if any(map(math.isnan, sizes)) else min(sizes)


def _data_mountpoint(mounted: Iterable[str]) -> str:
    """Where the first of the folders that is not on the root's filesystem is mounted; else the root."""
    known = set(mounted)
    for folder in DATA_FOLDERS:
        nearest = next((place for place in _ancestors(folder) if place in known), "/")
        if nearest != "/":
            return nearest
    return "/"


def _is_sample_of(labels: Mapping[str, Any], name: str, addresses: frozenset[str]) -> bool:
    """kube-prometheus-stack's node-exporter listens on the node's own address; some add a `node` label."""
    if labels.get("node"):
        return bool(labels["node"] == name)
    host = str(labels.get("instance", "")).rpartition(":")[0]
    return host.removeprefix("[").removesuffix("]") in addresses


def _parse_samples(answer: object) -> Iterator[tuple[Mapping[str, Any], float]]:
    """Labels and value of each sample of an instant vector; NaN for a value that is no number of bytes."""
    data = answer.get("data") if isinstance(answer, Mapping) and answer.get("status") == "success" else None
    result = data.get("result") if isinstance(data, Mapping) and data.get("resultType") == "vector" else None
    for sample in _list_mappings(result):
        labels, value = sample.get("metric"), sample.get("value")
        if isinstance(labels, Mapping):
            yield labels, _parse_number(value[1] if isinstance(value, list) and len(value) == 2 else None)


def _parse_number(text: object) -> float:
    """Prometheus writes numbers as texts: `"8.5e+10"`, and `"NaN"` and `"+Inf"` too."""
    try:
        size = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return math.nan
    return size if math.isfinite(size) else math.nan


def _node_name(item: Manifest) -> str:
    meta = item.get("metadata")
    return str(meta.get("name") or "") if isinstance(meta, Mapping) else ""


def _node_addresses(item: Manifest) -> frozenset[str]:
    """A node has one internal address, or one of each family."""
    status = item.get("status")
    listed = _list_mappings(status.get("addresses") if isinstance(status, Mapping) else None)
    return frozenset(
        str(one["address"]) for one in listed if one.get("type") == "InternalIP" and one.get("address")
    )


def normalize_image_name(text: str) -> str:
    """One spelling of an image for all that mean it: `mongo` is `docker.io/library/mongo:latest`.

    With a digest the tag says nothing. https://github.com/distribution/reference
    """
    name, _, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        host, path = "docker.io" if first == "index.docker.io" else first, rest
    else:
        host, path = "docker.io", name
    if host == "docker.io" and "/" not in path:
        path = f"library/{path}"
    folder, slash, last = path.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{host}/{folder}{slash}{last}" + (f"@{digest}" if digest else f":{tag or 'latest'}")


def list_image_names(listed: object) -> frozenset[str]:
    """All names of the images in a node's `status.images`, spelled as `normalize_image_name` does.

    The kubelet lists the fifty largest, with five names each; a further one will be taken for missing:
    https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/ (nodeStatusMaxImages)
    """
    lists = (one.get("names") for one in _list_mappings(listed))
    return frozenset(
        normalize_image_name(name)
        for names in lists
        if isinstance(names, list)
        for name in names
        if isinstance(name, str)
    )


def sum_image_bytes(listed: object) -> float:
    """What a node's images take at least: containerd tells their packed size, and keeps them unpacked, too.

    https://github.com/containerd/containerd/issues/9261
    """
    sizes = (one.get("sizeBytes") for one in _list_mappings(listed))
    return float(sum(size for size in sizes if type(size) is int and size > 0))


def _list_mappings(items: object) -> Iterator[Mapping[str, Any]]:
    return (one for one in (items if isinstance(items, list) else ()) if isinstance(one, Mapping))
