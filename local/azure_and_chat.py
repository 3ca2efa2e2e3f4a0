"""What stands around the app besides storage and MongoDB: Azure with the VM, the chat on it, prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from local.azure_rm import AzureServer
from local.azure_rm.machines import Vm
from local.chat import ChatServer
from local.server import Served


@dataclass(frozen=True, slots=True)
class AroundPorts:
    """Where they listen; 0 is any free port."""

    azure: int = 0
    chat: int = 0  # the webhooks
    rocketchat: int = 0  # what the VM serves


@contextmanager
def run_azure_and_chat(ports: AroundPorts) -> Iterator[dict[str, str]]:
    """A running VM `rocketchat` with Rocket.Chat on it; gives the settings by which the app finds it all."""
    with AzureServer(port=ports.azure) as azure, ChatServer(port=ports.chat) as chat:
        azure.guest.commands["microk8s"] = "echo Stopped."
        azure.guest.commands["pgrep"] = ":"  # the containers are those of this machine, not the guest's
        vm = azure.add_vm("rocketchat")
        with Served(rocketchat_app(vm), port=ports.rocketchat) as served:
            yield {
                **azure_settings(azure),
                "GROUNDCREW_CHAT": served.url,
                "GROUNDCREW_NOTIFY_URLS": f"chat={add_webhook(chat)} oncall={add_webhook(chat)}",
                "GROUNDCREW_WAKE_SIGN_IN": "none",
            }


def azure_settings(azure: AzureServer) -> dict[str, str]:
    """How the app finds the stand-in of Azure."""
    return {
        "AZURE_SUBSCRIPTION_ID": azure.subscription,
        "GROUNDCREW_RESOURCE_GROUP": "rocketchat",
        "GROUNDCREW_RESOURCE_MANAGER": azure.url,
        "GROUNDCREW_RESOURCE_MANAGER_TOKEN": azure.credential().get_token().token,
        "GROUNDCREW_PRICES": azure.prices_url,
    }


def add_webhook(chat: ChatServer) -> str:
    """A new incoming webhook of the chat, as apprise knows it."""
    hook = chat.add_hook()
    return f"rocket://{hook.id}/{hook.token}@{chat.url.removeprefix('http://')}/?avatar=no"


def rocketchat_app(vm: Vm) -> Callable[[], web.Application]:
    """Rocket.Chat on the machine: it answers while the machine runs."""

    async def answer(_: web.Request) -> web.Response:
        if vm.power != "running":
            return web.Response(status=502)
        return web.json_response({"success": True, "version": "8.2"})

    def make() -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:api/info|livez|readyz}", answer)
        return app

    return make
