"""The stand-in's Event Grid."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from azure.core.exceptions import (
    HttpResponseError,
)
from azure.mgmt.compute import ComputeManagementClient

from local.azure_rm import AzureServer
from local.azure_rm.fleet import GROUP
from local.server import Served

EVENT = {"id", "topic", "subject", "eventType", "eventTime", "data", "dataVersion", "metadataVersion"}


def test_events_tell_what_was_done_and_what_failed(
    server: AzureServer, client: ComputeManagementClient
) -> None:
    vm = server.add_vm("node", power="deallocated")
    server.faults.fail_operation("virtualMachines/start")
    with pytest.raises(HttpResponseError):
        client.virtual_machines.begin_start(GROUP, "node").result()
    client.virtual_machines.begin_start(GROUP, "node").result()

    failed, done = server.events

    assert set(done) == EVENT
    assert failed["eventType"] == "Microsoft.Resources.ResourceActionFailure"
    assert done["eventType"] == "Microsoft.Resources.ResourceActionSuccess"
    assert done["subject"] == done["data"]["resourceUri"] == vm.id
    assert done["data"]["operationName"] == "Microsoft.Compute/virtualMachines/start/action"
    assert done["data"]["status"] == "Succeeded"


class Receiver:
    """An Event Grid webhook that may refuse the first deliveries."""

    def __init__(self, *, refusals: int = 0, validates: bool = True) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.arrived = threading.Event()
        self._refusals, self._validates = refusals, validates

    def application(self) -> web.Application:
        """To be served."""
        application = web.Application()
        application.router.add_post("/", self._receive)
        return application

    async def _receive(self, request: web.Request) -> web.Response:
        [event] = await request.json()
        if request.headers["aeg-event-type"] == "SubscriptionValidation":
            code = event["data"]["validationCode"]
            return web.json_response({"validationResponse": code if self._validates else "wrong"})
        if self._refusals > 0:
            self._refusals -= 1
            return web.Response(status=503)
        self.events.append(event)
        self.arrived.set()
        return web.Response(status=202)


@pytest.mark.parametrize("refusals", [0, 2])
def test_events_are_delivered_by_themselves_and_again_if_refused(
    server: AzureServer, client: ComputeManagementClient, refusals: int
) -> None:
    receiver = Receiver(refusals=refusals)
    server.add_vm("node")
    with Served(receiver.application) as webhook:
        server.subscribe(webhook.url)

        client.virtual_machines.begin_deallocate(GROUP, "node", polling=False)

        assert receiver.arrived.wait(10)
    assert receiver.events[0]["data"]["operationName"].endswith("deallocate/action")


def test_an_address_that_does_not_validate_is_not_subscribed(server: AzureServer) -> None:
    with (
        Served(Receiver(validates=False).application) as webhook,
        pytest.raises(ValueError, match="did not validate"),
    ):
        server.subscribe(webhook.url)
