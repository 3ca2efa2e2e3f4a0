"""Asks all gates of a deploy, so that one reads at once everything there is to do. Changes nothing.

What the forge says is asked in `gating_forge`, what the chart is and makes of the cluster in `gating_chart`.
"""

from __future__ import annotations

from shared.errors import NotFound
from shared.ports_deploy import Revision
from shared.state.asking import Gating as Gating
from shared.state.asking import good_one as good_one
from shared.state.deploys import Request
from shared.state.gating_chart import ChartGates
from shared.state.gating_forge import ForgeGates
from shared.state.shipping import Shipping


def ask(shipping: Shipping, request: Request) -> Gating:
    """All gates of a request. Raises `Unavailable` if an outside system does not answer."""
    found = Gating()
    ForgeGates(shipping, request, found).ask()
    ChartGates(shipping, request, found).ask()
    return found


def revision(shipping: Shipping, number: int) -> Revision:
    """The revision of that number. Raises NotFound."""
    found = next((one for one in shipping.releases.history() if one.number == number), None)
    if found is None:
        raise NotFound(
            "the release has no such revision", value=number, cure="See groundcrew deploy history."
        )
    return found
