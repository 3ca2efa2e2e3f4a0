"""The answer to `status`: the verdict and the rows of the status page, and the requests that wait."""

from __future__ import annotations

from shared.kernel.errors import GroundcrewError


def describe_status() -> str:
    """In the words of the page and of `groundcrew status`: a part that cannot be read hides no other."""
    from shared.status.decide import decide_verdict
    from shared.status.view import list_rows
    from shared.wiring.status import current_status

    status = current_status()
    verdict = decide_verdict(status)
    # What is not set up is left out: this is read on a phone.
    rows = [row for row in list_rows(status, verdict.findings) if row.level is not None]
    # The verdict first: it is all that a notification on a locked phone shows.
    lines = [verdict.headline, *(f"{row.part}: {row.text}" for row in rows), f"requests: {_list_requests()}"]
    return "\n".join(lines)


def _list_requests() -> str:
    from shared.chatops.replies import describe_request
    from shared.wiring.people import open_approvals

    # Unknown is said, and is not good: an empty line would read as if nobody waited.
    try:
        pending = open_approvals().pending()
    except GroundcrewError as error:
        return f"unknown: {error}"
    return "; ".join(map(describe_request, pending)) or "none waits"
