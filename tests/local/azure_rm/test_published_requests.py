"""What is asked of Azure, against its published operations; the extracts are as Microsoft's client has them.

The requests of Microsoft's client are generated from the documents, as its models are.
"""

from __future__ import annotations

import inspect
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from azure.core.rest import HttpRequest
from azure.mgmt.compute.operations import _operations

from local.azure_rm import AzureServer
from local.azure_rm.server import Logged
from shared.adapters import azure_disks, azure_vms
from tests.local.azure_rm.published import Document, describe_azure_faults

COMPUTE, DISKS = Document("compute"), Document("disks")
BUILDERS = {
    COMPUTE: ("list_all", "get", "instance_view", "start", "deallocate", "run_command"),
    DISKS: ("list", "list_by_resource_group", "get", "create_or_update", "update", "delete"),
}
NAMED = [
    *((COMPUTE, azure_vms.API_VERSION, f"virtual_machines_{name}") for name in BUILDERS[COMPUTE]),
    *(
        (DISKS, azure_disks.API_VERSION, f"{kind}_{name}")
        for kind in ("disks", "snapshots")
        for name in BUILDERS[DISKS]
    ),
]
SUBSCRIPTION = "/subscriptions/s"
SNAPSHOT = f"{SUBSCRIPTION}/resourceGroups/g/providers/microsoft.compute/snapshots/one"
VERSION = {"api-version": "2026-03-02"}


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (Logged("GET", f"{SUBSCRIPTION}/providers/x/y", VERSION, {}, 200), ": no such operation"),
        (Logged("POST", SNAPSHOT, VERSION, {}, 200), ": no such operation"),
        (Logged("GET", SNAPSHOT, {**VERSION, "expand": "x"}, {}, 200, {}), ": no parameter expand"),
        (Logged("GET", SNAPSHOT, VERSION, {"a": 1}, 200, {}), ": takes no body"),
        (Logged("PATCH", SNAPSHOT, VERSION, {"tags": []}, 404), " sent.tags: list instead of object"),
        (Logged("PATCH", SNAPSHOT, VERSION, {"tag": {}}, 404), " sent.tag: no such field"),
        (Logged("DELETE", SNAPSHOT, VERSION, {}, 201), ": 201 is none of its answers"),
        (Logged("GET", SNAPSHOT, VERSION, {}, 200, {"nname": "one"}), " answered.nname: no such field"),
    ],
)
def test_a_request_or_an_answer_that_is_not_as_published_is_found(request_: Logged, fault: str) -> None:
    with AzureServer() as server:
        server.log.append(request_)
        assert any(one.endswith(fault) for one in describe_azure_faults(server)), describe_azure_faults(
            server
        )


def test_what_a_document_requires_of_a_query_is_required() -> None:
    path = f"{SUBSCRIPTION}/providers/Microsoft.Insights/eventtypes/management/values"
    with AzureServer() as server:
        server.log.append(Logged("GET", path, {"api-version": "2015-04-01"}, {}, 400))
        assert [one.rpartition(": ")[2] for one in describe_azure_faults(server)] == ["$filter is missing"]


def build_request(name: str) -> HttpRequest:
    """What Microsoft's client asks, with each of its parameters."""
    builder = getattr(_operations, f"build_{name}_request")
    named = [one for one in inspect.signature(builder).parameters.values() if one.kind is not one.VAR_KEYWORD]
    request: HttpRequest = builder(
        **{one.name: "x" if "str" in str(one.annotation) else True for one in named}
    )
    return request


@pytest.mark.parametrize(("document", "version", "name"), NAMED, ids=[name for _, _, name in NAMED])
def test_an_operation_of_the_extracts_is_that_of_microsofts_own_client(
    document: Document, version: str, name: str
) -> None:
    # The requests are generated from the documents, as the models are.
    request = build_request(name)
    url = urlsplit(request.url)
    query = dict(parse_qsl(url.query))
    (path,) = [one for one in document.paths if re.fullmatch(re.sub(r"\{\w+\}", "x", one), url.path)]
    operation = document.paths[path][request.method.lower()]
    assert {one["name"] for one in operation["parameters"] if one["in"] == "query"} == query.keys()
    assert query["api-version"] == version


def test_every_operation_of_compute_and_disks_is_compared() -> None:
    compared = {
        (request.method, urlsplit(request.url).path)
        for _, _, name in NAMED
        for request in [build_request(name)]
    }
    named = {
        (method.upper(), re.sub(r"\{\w+\}", "x", path))
        for document in BUILDERS
        for path, methods in document.paths.items()
        for method in methods
    }
    assert named == compared
