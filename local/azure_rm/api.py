"""Paths and verbs of Azure Resource Manager, mapped to what the world can do.

Long operations are told both ways, by `Azure-AsyncOperation` (a status) and `Location` (202 until done):
https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/async-api-reference.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from local.azure_rm import disk_actions, vm_actions
from local.azure_rm.addresses import PublicAddress
from local.azure_rm.clusters import StoredCluster
from local.azure_rm.machines import Vm
from local.azure_rm.replies import ArmError, Json, Reply
from local.azure_rm.resources import ArmOperation, ArmResource
from local.azure_rm.storage import StoredDisk, StoredSnapshot
from local.azure_rm.storage_accounts import StoredAccount
from local.azure_rm.world import ArmWorld

_RESOURCE = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)(?:/resourceGroups/(?P<group>[^/]+))?"
    r"/providers/(?P<kind>[^/]+/[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<action>[^/]+))?)?/?",
    re.IGNORECASE,
)
# Compute and disks name their operations' paths differently; the SDK follows the headers and builds none.
_OPERATION = re.compile(
    r"/subscriptions/[^/]+/providers/[^/]+/locations/[^/]+/(?:disk)?operations/(?P<id>[^/]+)", re.IGNORECASE
)
_PERMISSIONS = re.compile(r"/subscriptions/.+/providers/Microsoft\.Authorization/permissions", re.IGNORECASE)
# A version that a provider does not serve is a 400 there: an adapter that asks for one fails in tests.
VERSIONS: Mapping[str, frozenset[str]] = {
    "microsoft.compute/virtualmachines": frozenset({"2024-07-01", "2024-11-01", "2025-04-01", "2026-04-01"}),
    "microsoft.compute/disks": frozenset({"2024-03-02", "2025-01-02", "2026-03-02"}),
    "microsoft.compute/snapshots": frozenset({"2024-03-02", "2025-01-02", "2026-03-02"}),
    "microsoft.containerservice/managedclusters": frozenset({"2024-09-01", "2025-05-01"}),
    "microsoft.insights/eventtypes": frozenset({"2015-04-01"}),
    "microsoft.network/publicipaddresses": frozenset({"2024-05-01", "2025-01-01"}),
    "microsoft.storage/storageaccounts": frozenset({"2023-05-01", "2024-01-01", "2025-01-01"}),
}
_KINDS: Mapping[str, type[ArmResource]] = {
    kind.kind.lower(): kind
    for kind in (Vm, StoredDisk, StoredSnapshot, StoredCluster, PublicAddress, StoredAccount)
}


@dataclass(frozen=True)
class ArmCall:
    """A request, taken apart."""

    method: str
    base_url: str
    path: str
    query: Mapping[str, str]
    body: Json
    kind: str = ""
    group: str = ""
    name: str = ""
    action: str = ""


@dataclass
class ArmApi:
    """Answers calls. `polling`: "azure-async-operation" or "location". `retry_after`: whole seconds.

    A `Retry-After` of 0 makes the SDK wait for its own default of 30 s, so None sends no header at all.
    """

    world: ArmWorld
    guest: vm_actions.Guest = field(default_factory=vm_actions.Guest)
    polling: str = "azure-async-operation"
    retry_after: int | None = None
    page_size: int = 50
    # What the caller's roles give, at every scope: https://learn.microsoft.com/rest/api/authorization/permissions
    permissions: list[Json] = field(default_factory=lambda: [{"actions": ["*"], "notActions": []}])

    def answer(self, call: ArmCall) -> Reply:
        """The reply to an authenticated call. Raises `ArmError`."""
        version = call.query.get("api-version", "")
        if not version:
            # The text is Resource Manager's own; it is what an operator would find by a search.
            text = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", text)
        if match := _OPERATION.fullmatch(call.path):
            return self._show_operation(call, match["id"])
        if call.method == "GET" and _PERMISSIONS.fullmatch(call.path):
            return Reply(200, {"value": self.permissions})
        match = _RESOURCE.fullmatch(call.path)
        if match is None or match["kind"].lower() not in VERSIONS:
            raise ArmError(
                404, "InvalidResourceType", f"The resource type could not be found at '{call.path}'."
            )
        if match["subscription"].lower() != self.world.subscription.lower():
            text = f"The subscription '{match['subscription']}' could not be found."
            raise ArmError(404, "SubscriptionNotFound", text)
        kind = match["kind"].lower()
        if version not in VERSIONS[kind]:
            known = ", ".join(sorted(VERSIONS[kind]))
            text = f"No registered resource provider found for API version '{version}'. Supported: {known}."
            raise ArmError(400, "NoRegisteredProviderFound", text)
        if kind == "microsoft.insights/eventtypes":
            return self._list_activity(call)
        parts = {name: match[name] or "" for name in ("group", "name", "action")}
        return self._route_call(
            ArmCall(call.method, call.base_url, call.path, call.query, call.body, kind, **parts)
        )

    def _list_activity(self, call: ArmCall) -> Reply:
        if call.method != "GET" or not call.path.lower().endswith("/management/values"):
            raise _not_allowed(call)
        now = self.world.clock.now()
        return self.world.activity.answer(call.path, call.base_url, dict(call.query), now, self.page_size)

    def _route_call(self, call: ArmCall) -> Reply:
        if not call.name:
            if call.method != "GET":
                raise _not_allowed(call)
            return self._list(call)
        if call.action:
            return self._act_on_resource(call)
        handlers: Mapping[str, Callable[[ArmCall], Reply]] = {
            "GET": self._get,
            "PUT": self._put,
            "PATCH": self._patch_resource,
            "DELETE": self._delete,
        }
        if call.method not in handlers:
            raise _not_allowed(call)
        return handlers[call.method](call)

    def _list(self, call: ArmCall) -> Reply:
        # An empty group and one that is not there are told apart, as by the service.
        if call.group and call.group.lower() not in self.world.groups:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{call.group}' could not be found.")
        # As Compute refuses it: the instance view of many machines comes by `statusOnly` instead.
        if "$expand" in call.query and "$filter" not in call.query:
            raise ArmError(400, "InvalidParameter", "$expand can only be specified with a valid $filter.")
        resources: Sequence[ArmResource] = self.world.listing(_KINDS[call.kind], call.group)
        # Pages, and small ones where a test says so: a reader of the first page only loses machines.
        start = int(call.query.get("$skipToken", "0"))
        page = resources[start : start + self.page_size]
        body: Json = {"value": [self._write_entry(call, one) for one in page]}
        if start + self.page_size < len(resources):
            query = {**call.query, "$skipToken": str(start + self.page_size)}
            body["nextLink"] = f"{call.base_url}{call.path}?{urlencode(query, safe='$')}"
        return Reply(200, body)

    def _write_entry(self, call: ArmCall, resource: ArmResource) -> Json:
        now = self.world.clock.now()
        if isinstance(resource, Vm) and call.query.get("statusOnly", "").lower() == "true":
            return resource.status_body(now, self.world.faults.view_lag)
        return self._body(resource)

    def _body(self, resource: ArmResource) -> Json:
        """The resource as a GET answers it; a disk shows whether the machine it is attached to is off."""
        body = resource.body(self.world.clock.now())
        if isinstance(resource, StoredDisk) and resource.attached_to:
            holders = (vm for vm in self.world.listing(Vm) if vm.id == resource.attached_to)
            # Attached to what is off, a disk is Reserved: "Unattached" is not the only state that is not in
            # use.
            if any(vm.power == "deallocated" for vm in holders):
                body["properties"]["diskState"] = "Reserved"
        return body

    def _get(self, call: ArmCall) -> Reply:
        now, lag = self.world.clock.now(), self.world.faults.view_lag
        resource = self.world.get(_KINDS[call.kind], call.group, call.name)
        body = self._body(resource)
        # Without it the power state is in no answer about a machine.
        if isinstance(resource, Vm) and call.query.get("$expand", "").lower() == "instanceview":
            body["properties"]["instanceView"] = resource.instance_view(now, lag)
        return Reply(200, body)

    def _put(self, call: ArmCall) -> Reply:
        resource: ArmResource
        operation: ArmOperation | None
        if call.kind == "microsoft.compute/snapshots":
            resource, operation = disk_actions.put_snapshot(self.world, call.group, call.name, call.body)
        elif call.kind == "microsoft.compute/disks":
            resource, operation = disk_actions.put_disk(self.world, call.group, call.name, call.body)
        else:
            raise _not_allowed(call)
        body = resource.body(self.world.clock.now())
        return Reply(200, body) if operation is None else self._accept_operation(call, operation, body)

    def _patch_resource(self, call: ArmCall) -> Reply:
        resource = self.world.get(_KINDS[call.kind], call.group, call.name)
        resource.tags = vm_actions.read_tags(call.body)
        return Reply(200, resource.body(self.world.clock.now()))

    def _delete(self, call: ArmCall) -> Reply:
        resource = self.world.find(_KINDS[call.kind], call.group, call.name)
        if resource is None:
            return Reply(204)
        if not isinstance(resource, StoredDisk | StoredSnapshot):
            raise _not_allowed(call)
        return self._accept_operation(call, disk_actions.begin_delete(self.world, resource))

    def _act_on_resource(self, call: ArmCall) -> Reply:
        resource = self.world.get(_KINDS[call.kind], call.group, call.name)
        # Case does not count in paths either.
        verb = (call.method, call.action.lower())
        if isinstance(resource, Vm):
            if verb == ("GET", "instanceview"):
                return Reply(200, resource.instance_view(self.world.clock.now(), self.world.faults.view_lag))
            if verb == ("POST", "runcommand"):
                operation = vm_actions.run_command(self.world, resource, call.body, self.guest)
                return self._accept_operation(call, operation)
            moves = {("POST", name.lower()): name for name in ("start", "deallocate", "powerOff", "restart")}
            if verb in moves:
                return self._accept_operation(call, vm_actions.begin_move(self.world, resource, moves[verb]))
        if isinstance(resource, StoredAccount):
            if verb == ("POST", "listkeys"):
                return Reply(200, resource.keys_body())
            if verb == ("POST", "regeneratekey"):
                return Reply(200, resource.regenerate(call.body, self.world.clock.now()))
        if isinstance(resource, StoredCluster) and verb in (("POST", "start"), ("POST", "stop")):
            return self._accept_operation(call, self._move_cluster(resource, call.action.lower()))
        raise _not_allowed(call)

    def _move_cluster(self, cluster: StoredCluster, action: str) -> ArmOperation:
        # AKS takes one operation at a time, a stop during a start is refused:
        # https://learn.microsoft.com/azure/aks/start-stop-cluster
        if cluster.operation is not None:
            text = f"Operation is not allowed: another operation ({cluster.provisioning}) is in progress."
            raise ArmError(409, "OperationNotAllowed", text)

        def finish(operation: ArmOperation) -> None:
            cluster.provisioning = "Failed" if operation.failure else "Succeeded"
            if not operation.failure:
                cluster.power = "Running" if action == "start" else "Stopped"

        operation = self.world.begin(f"managedClusters/{action}", cluster, "POST", finish)
        cluster.provisioning = "Starting" if action == "start" else "Stopping"
        return operation

    def _accept_operation(self, call: ArmCall, operation: ArmOperation, body: Json | None = None) -> Reply:
        return Reply(202, body, self._operation_headers(call, operation))

    def _operation_headers(self, call: ArmCall, operation: ArmOperation) -> dict[str, str]:
        resource = operation.resource
        provider = resource.kind.split("/")[0]
        address = (
            f"{call.base_url}/subscriptions/{resource.subscription}/providers/{provider}/locations/"
            f"{resource.location}/{operation.family}/{operation.id}?api-version={call.query['api-version']}"
        )
        # Both headers by default; with `Location` alone a poll is 202 until the end, and its body says
        # nothing.
        headers = {"Location": f"{address}&monitor=true"}
        if self.polling == "azure-async-operation":
            headers["Azure-AsyncOperation"] = address
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return headers

    def _show_operation(self, call: ArmCall, operation_id: str) -> Reply:
        operation = self.world.operations.get(operation_id)
        if operation is None:
            raise ArmError(404, "NotFound", f"The entity was not found: operation {operation_id}.")
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if call.query.get("monitor") != "true":
            return Reply(200, operation.body(), retry if operation.status == "InProgress" else {})
        if operation.status == "InProgress":
            return Reply(
                202, None, {"Location": f"{call.base_url}{call.path}?{urlencode(call.query)}", **retry}
            )
        if operation.status == "Failed" and operation.failure:
            # By `Location` a failure is a status; by `Azure-AsyncOperation` it is a 200 that says Failed.
            raise ArmError(409, *operation.failure)
        # The final answer of a PUT is the resource itself, that of an action what it returned.
        if operation.method == "PUT":
            return Reply(200, operation.resource.body(self.world.clock.now()))
        return Reply(204) if operation.result is None else Reply(200, operation.result)


def _not_allowed(call: ArmCall) -> ArmError:
    return ArmError(405, "MethodNotAllowed", f"{call.method} is not served at '{call.path}'.")
