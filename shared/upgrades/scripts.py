"""What the scripts of integrations do that strict mode forbids, told from their text.

From 9.0.0 on they run as they are written, and the bodies of a class are always strict. Before, Babel made
functions of them that were not (https://github.com/RocketChat/Rocket.Chat/pull/40142). This reads tokens and
no grammar: it may miss a script that breaks, and names one now and then that does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)
    |(?P<number>\d[\w.]*)
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<sign>=>|===|!==|==|!=|<=|>=|\+\+|--|\?\.|&&=|\|\|=|\?\?=|\*\*=|>>>=|>>=|<<=|[-+*/%&|^]=|\.\.\.|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
# A slash after one of these begins a regular expression, and after anything else it divides.
_BEFORE_REGEX = frozenset(
    {"", "(", ",", "=", ":", "[", "!", "&", "|", "?", "{", "}", ";", "=>", "return", "=="}
)
# https://tc39.es/ecma262/#prod-AssignmentOperator
_ASSIGNS = frozenset({
    "=", "+=", "-=", "*=", "/=", "%=", "**=", "&=", "|=", "^=", "<<=", ">>=", ">>>=", "&&=", "||=", "??=",
})  # fmt: skip
_WORDS = re.compile(
    "var|let|const|function|class|return|if|else|for|while|do|switch|case|break|continue|new|typeof|in|of|"
    "instanceof|void|delete|throw|try|catch|finally|this|super|null|true|false|undefined|async|await|yield|"
    "static|get|set|default|extends|import|export|with"
)
_WITHOUT_PARAMETERS = frozenset({"if", "for", "while", "switch", "with"})
_OLD_OCTAL = re.compile(r"0[0-7]+")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
# A script is a page or two, and a declaration a line; whoever may write one must not hold the gate up.
_MAX_CHARACTERS, _MAX_DECLARATION = 50_000, 200


def breaks_in_strict_mode(script: str) -> bool:
    """Whether the text does something that strict mode refuses.

    That is: it sets a name that nothing declares, uses `arguments.callee`, `with`, an octal number of the old
    form, or `this` in a function within a class.
    """
    parts = _tokenize(script)
    return (
        _uses_forbidden_words(parts)
        or not set(_assigned_names(parts)) <= _declared_names(parts)
        or _uses_this_in_function(parts)
    )


def calls_other_servers(script: str) -> bool:
    """Whether the text calls `HTTP(…)` or `fetch(…)`, by which a script reaches other servers."""
    return any(one in ("HTTP", "fetch") and two == "(" for one, two in pairwise(_tokenize(script)))


def _tokenize(script: str) -> list[str]:
    """Names, numbers and signs; of a string or a pattern that there is one, of a comment nothing."""
    script = script[:_MAX_CHARACTERS]
    parts: list[str] = []
    place = 0
    while place < len(script):
        before = parts[-1] if parts else ""
        match = _REGEX.match(script, place) if before in _BEFORE_REGEX else None
        if match is not None:
            parts.append("//")
        elif (match := _TOKEN.match(script, place)) is None:
            break
        elif match.lastgroup == "text":
            parts.append('""')
        elif match.lastgroup != "skip":
            parts.append(match[0])
        place = match.end()
    return parts


def _uses_forbidden_words(parts: Sequence[str]) -> bool:
    callee = ("arguments", ".", "callee") in zip(parts, parts[1:], parts[2:], strict=False)
    return callee or ("with", "(") in pairwise(parts) or any(map(_OLD_OCTAL.fullmatch, parts))


def _assigned_names(parts: Sequence[str]) -> Iterator[str]:
    padded = ["", *parts, ""]
    for before, part, after in zip(padded, padded[1:], padded[2:], strict=False):
        # A field of an object is no name.
        if not _is_name(part) or before in (".", "?."):
            continue
        if after in _ASSIGNS or "++" in (before, after) or "--" in (before, after):
            yield part


def _declared_names(parts: Sequence[str]) -> set[str]:
    """Every name that a declaration, a parameter list or a `catch` may bring: rather one too many."""
    names: set[str] = set()
    closings, openings = _match_parentheses(parts)
    for index, part in enumerate(parts):
        before, after = (
            parts[index - 1] if index else "",
            parts[index + 1] if index + 1 < len(parts) else "",
        )
        if part in ("var", "let", "const"):
            names.update(_names_of_declaration(parts, index + 1))
        elif part in ("function", "class"):
            names.add(after)
        elif part == "=>" and before == ")":
            names.update(filter(_is_name, parts[openings.get(index - 1, index) : index]))
        elif part == "=>":
            names.add(before)
        elif part == "(" and before not in _WITHOUT_PARAMETERS:
            closing = closings.get(index, index)
            # Parameters are followed by a body; the arguments of a call are not.
            if parts[closing + 1 : closing + 2] == ["{"]:
                names.update(filter(_is_name, parts[index:closing]))
    return names


def _names_of_declaration(parts: Sequence[str], start: int) -> Iterator[str]:
    """Of `a = f(x), {b} = c;` a and b."""
    depth, in_value = 0, False
    for part in parts[start : start + _MAX_DECLARATION]:
        depth += (part in _OPENING) - (part in _CLOSING)
        # Many scripts have no semicolons: the next statement ends this one as well.
        ends = part in (";", "of", "in", "const", "let", "var", "if", "return")
        if depth < 0 or (depth == 0 and ends):
            return
        if depth == 0 and part in ("=", ","):
            in_value = part == "="
        elif not in_value and _is_name(part):
            yield part


def _match_parentheses(parts: Sequence[str]) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """By the place of each parenthesis the place of its partner: of those that open, of those that close."""
    closings: dict[int, int] = {}
    stack: list[int] = []
    for index, part in enumerate(parts):
        if part == "(":
            stack.append(index)
        elif part == ")" and stack:
            closings[stack.pop()] = index
    return closings, {closing: opening for opening, closing in closings.items()}


def _uses_this_in_function(parts: Sequence[str]) -> bool:
    """`this` within `function …() {…}` in the body of a class: undefined in strict mode."""
    stack: list[str] = []  # what each open brace belongs to; "" for a block, a method or an object
    pending, parentheses = "", 0
    for part in parts:
        parentheses += (part == "(") - (part == ")")
        if part in ("class", "function"):
            pending, parentheses = part, 0
        elif part == "{":
            # A brace among the parameters is not the body.
            own = pending if parentheses == 0 else ""
            pending = "" if own else pending
            stack.append(own)
        elif part == "}" and stack:
            stack.pop()
        # What a class or a function opened last decides: an arrow function has the `this` around it.
        elif part == "this" and "class" in stack and [kind for kind in stack if kind][-1] == "function":
            return True
    return False


def _is_name(part: str) -> bool:
    return _NAME.fullmatch(part) is not None and _WORDS.fullmatch(part) is None
