"""Tags of Azure resources: names are compared without case, values with.

https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources
"""

from __future__ import annotations

from collections.abc import Mapping


def find_tag(tags: Mapping[str, str], name: str) -> str | None:
    """The value of the tag, in whatever case its name was written; None if there is none. "" is a value."""
    if name in tags:
        return tags[name]
    folded = name.lower()
    return next((value for key, value in tags.items() if key.lower() == folded), None)


def fold_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags by their names in lower case, for whoever reads several of them."""
    return {name.lower(): value for name, value in tags.items()}


def has_tag(tags: Mapping[str, str], pair: str) -> bool:
    """Whether the tags have a pair that policy writes as `key=value`."""
    key, _, value = pair.partition("=")
    return find_tag(tags, key) == value


def set_tag(tags: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """The tags with that one set. Azure refuses two names that differ only in case, so another one goes."""
    return {**drop_tag(tags, name), name: value}


def drop_tag(tags: Mapping[str, str], name: str) -> dict[str, str]:
    """The tags without that one."""
    return {key: value for key, value in tags.items() if key.lower() != name.lower()}
