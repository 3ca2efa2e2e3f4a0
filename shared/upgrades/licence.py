"""What a licence of Rocket.Chat says of itself, as far as an upgrade depends on it.

Its signature does not matter here: the server that runs has checked it.
"""

from __future__ import annotations

import base64
import json


def is_offline_licence(licence: str) -> bool | None:
    """`information.offline` of a licence of version 3, a signed JSON behind `RCV3_`. Earlier ones have none.

    RocketChat/Rocket.Chat, ee/packages/license/src/token.ts, ILicenseV3.ts.
    """
    if not licence.startswith("RCV3_"):
        return False
    try:
        body = licence.removeprefix("RCV3_").split(".")[1]
        information = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["information"]
        return information["offline"] is True
    except (ValueError, IndexError, KeyError, TypeError):
        return None
