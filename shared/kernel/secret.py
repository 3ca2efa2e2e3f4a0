"""A string that is never printed: not in logs, tracebacks, reprs or f-strings."""

from __future__ import annotations


class Secret:
    """Holds a secret. Only `reveal` returns it, so that a search for that name finds every use."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "**redacted**"

    __str__ = __repr__

    def __reduce__(self) -> str:
        # Pickled, it would lie in plain text in whatever cache or message that goes to.
        raise TypeError("a secret is not to be pickled")
