"""The API server's way to a service, and the one service that anything is behind: Prometheus.

https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from local.kubernetes import errors
from local.kubernetes.addons import PROMETHEUS_APP
from local.kubernetes.cluster import EmbeddedCluster
from local.kubernetes.errors import ApiError, Object, bad_request
from local.kubernetes.handlers import Answer, ApiCall

_SELECTOR = re.compile(r'([a-z_]+)(?:\{mountpoint=~"([^"]*)"\})?')
_MEASURED = "node_filesystem_avail_bytes"


def proxy_service(cluster: EmbeddedCluster, call: ApiCall) -> Answer:
    """GET of `/proxy/…` below a service. Raises `ApiError` 400, 404, 405, 503."""
    target = call.target
    if target.verb != "get":
        raise ApiError(405, "MethodNotAllowed", "only GET is proxied here")
    name, port = _split_service(target.name)
    service = cluster.store.get(("", "services"), target.namespace, name)
    if service is None:
        raise errors.not_found_error("services", "", name)
    address = _find_endpoint(cluster, service, port)
    if (service["metadata"].get("labels") or {}).get("app") != PROMETHEUS_APP:
        raise _unavailable_error(
            f"error trying to reach service: dial tcp {address}: connect: connection refused"
        )
    return _answer_prometheus(cluster, target.path.partition(f"/{target.name}/proxy")[2], call.query)


def _split_service(text: str) -> tuple[str, str]:
    """Name and port out of `name`, `name:port` or `scheme:name:port`; the port is empty for the nameless."""
    match text.split(":"):
        case [name]:
            return name, ""
        case [name, port] | ["" | "http" | "https", name, port] if name:
            return name, port
    raise bad_request(f'invalid service request "{text}"')


def _find_endpoint(cluster: EmbeddedCluster, service: Object, port: str) -> str:
    """Somebody who serves it, as `address:port`. A port's number stands for its name."""
    meta = service["metadata"]
    if port.isdecimal():
        named = [each.get("name", "") for each in service["spec"]["ports"] if each["port"] == int(port)]
        if not named:
            raise _unavailable_error(f'no service port {port} found for service "{meta["name"]}"')
        port = named[0]
    endpoints = cluster.store.get(("", "endpoints"), meta["namespace"], meta["name"]) or {}
    for subset in endpoints.get("subsets") or ():
        for each in subset.get("ports") or ():
            if each.get("name", "") == port and subset.get("addresses"):
                return f"{subset['addresses'][0]['ip']}:{each['port']}"
    raise _unavailable_error(f'no endpoints available for service "{meta["name"]}"')


def _unavailable_error(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def _answer_prometheus(cluster: EmbeddedCluster, path: str, query: Mapping[str, str]) -> Answer:
    """`/api/v1/query` for free disk: https://prometheus.io/docs/prometheus/latest/querying/api/"""
    if path != "/api/v1/query":
        return Answer("404 page not found\n", 404, text=True)
    match = _SELECTOR.fullmatch(query.get("query", ""))
    if match is None:
        error = {
            "status": "error",
            "errorType": "bad_data",
            "error": 'invalid parameter "query": parse error',
        }
        return Answer(error, 400)
    pattern = re.compile(match[2] or ".*")
    result = list(_free_disk_samples(cluster)) if match[1] == _MEASURED else []
    result = [each for each in result if pattern.fullmatch(each["metric"]["mountpoint"])]
    return Answer({"status": "success", "data": {"resultType": "vector", "result": result}})


def _free_disk_samples(cluster: EmbeddedCluster) -> Iterator[Object]:
    """A sample of each filesystem of each node, as its node-exporter has it."""
    now = cluster.registry.now().timestamp()
    mounted = {"/": cluster.behaviour.disk_free_bytes, "/boot/efi": 99e6, "/run": 1.6e9}
    for node in cluster.store.items(("", "nodes")):
        for address in (node.get("status") or {}).get("addresses") or ():
            if address["type"] == "InternalIP":
                for mountpoint, size in mounted.items():
                    labels = {"__name__": _MEASURED, "job": "node-exporter", "mountpoint": mountpoint}
                    instance = {"instance": f"{address['address']}:9100"}
                    yield {"metric": labels | instance, "value": [now, f"{size:.0f}"]}
