"""Lists: selection and pages, and watches that follow them.

https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping

from local.kubernetes import selectors
from local.kubernetes.errors import ApiError, Object, bad_request, expired_error
from local.kubernetes.registry import as_version
from local.kubernetes.requests import RequestTarget
from local.kubernetes.resources import ApiResource
from local.kubernetes.store import Change, Store

_KEPT_PAGES = 64


def parse_selection(
    resource: ApiResource, target: RequestTarget, query: Mapping[str, str]
) -> selectors.Selection:
    """What the request selects. Raises `ApiError` 400."""
    return selectors.Selection(
        namespace=target.namespace if resource.namespaced else "",
        name=target.name,
        labels=selectors.parse_labels(query.get("labelSelector", "")),
        fields=selectors.parse_fields(query.get("fieldSelector", ""), resource.plural),
    )


class Pages:
    """The rests of lists that were asked for in pages; each rest is of the revision of its first page."""

    def __init__(self) -> None:
        self._rests: OrderedDict[str, tuple[list[Object], str]] = OrderedDict()

    def expire_tokens(self) -> None:
        """Let every continue token expire."""
        self._rests.clear()

    def first_page(self, items: list[Object], revision: str, limit: int) -> tuple[list[Object], Object]:
        """A page of at most `limit` items (0: all), and the list's metadata."""
        meta: Object = {"resourceVersion": revision}
        if 0 < limit < len(items):
            token = secrets.token_urlsafe(12)
            self._rests[token] = (items[limit:], revision)
            meta |= {"continue": token, "remainingItemCount": len(items) - limit}
            while len(self._rests) > _KEPT_PAGES:
                self._rests.popitem(last=False)
            items = items[:limit]
        return items, meta

    def next_page(self, token: str, limit: int) -> tuple[list[Object], Object]:
        """The page that a token stands for. Raises `ApiError` 410."""
        if token not in self._rests:
            raise expired_error(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter."
            )
        items, revision = self._rests[token]
        return self.first_page(items, revision, limit)


def list_items(
    store: Store, pages: Pages, resource: ApiResource, chosen: selectors.Selection, query: Mapping[str, str]
) -> Object:
    """The list object that a GET of a collection answers. Raises `ApiError` 400, 410, 504."""
    limit = read_number(query, "limit")
    if token := query.get("continue"):
        items, meta = pages.next_page(token, limit)
    else:
        revision = read_number(query, "resourceVersion")
        with store.lock:
            if revision > store.revision:
                raise ApiError(
                    504, "Timeout", f"Too large resource version: {revision}, current: {store.revision}"
                )
            found = [
                item for item in store.items(resource.bucket, chosen.namespace) if chosen.matches_object(item)
            ]
            items, meta = pages.first_page(found, str(store.revision), limit)
    shown = [as_version(item, resource) for item in items]
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": meta,
        "items": shown,
    }


def read_number(query: Mapping[str, str], name: str) -> int:
    """A whole number among the parameters, 0 if it is not there. Raises `ApiError` 400."""
    text = query.get(name) or "0"
    if not text.isdigit():
        raise bad_request(f"invalid value for {name}: {text!r}")
    return int(text)


def event_of(change: Change, chosen: selectors.Selection, resource: ApiResource) -> Object | None:
    """The watch event of a change, None if it does not concern the selection.

    An object that begins or ceases to be selected is told as ADDED or DELETED.
    """
    is_in = change.kind != "DELETED" and chosen.matches_object(change.item)
    was_in = change.before is not None and chosen.matches_object(change.before)
    if not is_in and not was_in:
        return None
    kind = "DELETED" if not is_in else "MODIFIED" if was_in else "ADDED"
    return {"type": kind, "object": as_version(change.item, resource)}


def bookmark_event(resource: ApiResource, revision: int, *, initial_end: bool = False) -> Object:
    """An event that only tells how far the watch has come."""
    meta: Object = {"resourceVersion": str(revision)}
    if initial_end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    shown = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
    return {"type": "BOOKMARK", "object": shown}
