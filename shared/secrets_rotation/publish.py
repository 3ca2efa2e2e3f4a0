"""The public half of a key that is rotated, in the lists that its readers keep. Pure.

A signer stays listed for good: the sets that it signed are read for as long as they are kept. The public key
of a drill leaves the list once its successor is in use, so that new sets are not encrypted to it.
"""

from __future__ import annotations

from typing import Literal

from shared.formats.agekeys import parse_key_setting
from shared.formats.manifest import Signer
from shared.kernel.secret import Secret

PublishStage = Literal["both", "final", "undone"]


def update_published(kind: str, current: Secret, *, old: Secret, new: Secret, stage: PublishStage) -> Secret:
    """What the list is to hold; `current` as it is if nothing is to change. Raises UsageError for bad keys.

    `old` and `new` are the homes' value of before and the new secret. Others' keys stay where they are.
    """
    words = current.reveal().replace(",", " ").split()
    before, after = public_half(kind, old), public_half(kind, new)
    # The old signer may have been trusted without being listed: an app trusts its own key.
    published = [before, after] if kind == "signing-key" or stage == "both" else []
    removed: set[str] = set()
    if kind != "signing-key":
        removed = {"both": set[str](), "final": {before}, "undone": {after}}[stage]
        published += {"both": [], "final": [after], "undone": [before]}[stage]
    listed = [word for word in words if word not in removed]
    listed += [word for word in published if word not in listed]
    return current if listed == words else Secret(",".join(listed))


def public_half(kind: str, secret: Secret) -> str:
    """The public key of a signing key, or of the first of a drill's identities. Raises UsageError."""
    if kind == "signing-key":
        return Signer.parse(secret.reveal().strip()).public_text()
    return parse_key_setting(secret.reveal())[0].recipient()
