"""The gates of versions: does Rocket.Chat's fit what the data has seen, does MongoDB fit, is there room."""

from __future__ import annotations

import re

from shared.deploy.gates.base import Asking
from shared.deploy.gates.headroom import headroom
from shared.deploy.gates.versions import (
    app_version_gate,
    chart_notes,
    mongodb_gate,
    mongodb_upgrade_gate,
    newer,
    unknown_version_gate,
)
from shared.deploy.model import Gate
from shared.kernel.errors import Unavailable
from shared.kubernetes.images import chat_image, chat_version, mongodb_image, mongodb_version, same_image

# As in the label helm.sh/chart: name-version, where both may have dashes.
_CHART_VERSION = re.compile(r"-(v?\d+\.\d.*)")


class VersionGates(Asking):
    """Asked of what the chart renders to, against what the release and the data have now."""

    def ask(self) -> None:
        """All of them."""
        found = self.found
        self._gate("version", self._version)
        self._gate("mongodb", self._mongodb)
        self._gate("mongodb upgrade", self._mongodb_upgrade)
        self._gate("headroom", lambda: headroom(self.deps.cluster, found.before, found.after))

    def _version(self) -> Gate:
        found = self.found
        found.version_after = chat_version(found.after)
        found.rollback_version = chat_version(found.before)
        found.version_before = newer(found.mark_version, found.rollback_version)
        if found.good and found.chart:
            old = _CHART_VERSION.search(found.good.chart)
            found.notes += tuple(chart_notes(old[1] if old else "", found.chart.version))
        before, after = chat_image(found.before), chat_image(found.after)
        if same_image(before, after) and found.version_before == found.rollback_version:
            # The same bytes: where only one side says which version that is, it holds for both.
            found.rollback_version = found.version_before = found.version_before or found.version_after
            found.version_after = found.version_after or found.version_before
            if not found.version_after:
                return Gate("version", True, "the image stays, which names no version")
        elif not found.version_after or (before and not found.version_before):
            return unknown_version_gate(before, after, told_after=bool(found.version_after))
        return app_version_gate(found.version_before, found.version_after)

    def _mongodb(self) -> Gate | None:
        found = self.found
        if not chat_image(found.before):
            return self._mongodb_at_first()
        if found.version_before == found.version_after:
            return Gate("mongodb", True, "Rocket.Chat's version stays")
        return self._fits(self.deps.database().version)

    def _mongodb_at_first(self) -> Gate | None:
        """Without a release there may be data all the same: of a cluster that is built anew, or outside."""
        found = self.found
        try:
            server = self.deps.database()
        except Unavailable:
            if not mongodb_image(found.after):
                raise
            found.notes += tuple(self._left())
            return Gate("mongodb", True, "first install, with a MongoDB of its own that is not there yet")
        found.had_data = server.schema is not None
        if found.had_data:
            found.notes += ("there is data of Rocket.Chat already, though no release",)
        return self._fits(server.version)

    def _left(self) -> list[str]:
        """Volumes that a MongoDB of its own will find again, and that nothing can back up before."""
        names = [claim.name for claim in self.deps.cluster.claims() if "mongodb" in claim.name]
        return [f"what is on the volume of {name} from before is not backed up" for name in names]

    def _fits(self, server: str) -> Gate | None:
        target = self.found.version_after
        return mongodb_gate(target, self.deps.compatible_mongodb(target), server) if target else None

    def _mongodb_upgrade(self) -> Gate | None:
        old, new = mongodb_image(self.found.before), mongodb_image(self.found.after)
        if not old or not new:
            return None
        if same_image(old, new):
            return Gate("mongodb upgrade", True, "MongoDB's image stays")
        return mongodb_upgrade_gate(mongodb_version(self.found.before), mongodb_version(self.found.after))
