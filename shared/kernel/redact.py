"""Keeps secrets out of logs, records, messages and diffs.

Two ways, both needed: known secrets are replaced wherever they occur, in every encoding in which a tool's
error may show them; and what looks like a secret by its form or its name is masked although it is unknown.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

MASK = "**redacted**"
MIN_SECRET_LENGTH = 4  # shorter ones would turn every other word into a mask

_NAME = re.compile(
    r"passw(?:or)?d|passphrase|secret|token|api[-_]?key|access[-_]?key|account[-_]?key|private[-_]?key|credential"
    r"|encryption[-_]?key|license|connection[-_]?string|mongo(?:_oplog)?_ur[li]|mongo-(?:oplog-)?uri|mail[-_]ur[li]"
    # `ADMIN_PASS` is Rocket.Chat's own; `pass` alone may be the outcome of a check, and a compass is none.
    r"|replicasetkey|identitykey|dsn$|^pwd$|^auth$|[-_]pass$|(?-i:(?<=[a-z])Pass)$",
    re.IGNORECASE,
)
# Names that contain such a word but hold a reference or a switch.
_REFERENCE = re.compile(
    r"existing\w*secret|secret[-_]?(?:key)?[-_]?(?:name|ref)s?$|secretkeyref|image[-_]?pull[-_]?secrets?|extra\w*secret"
    r"|automountserviceaccounttoken|keyname$|(?:password|passwd|token|key)s?[-_]?(?:file|path|policy|length|enabled|name)$"
    r"|clientsecretname|tls-?secret|tokenreview|secrets?[-_]?(?:enabled|store)"
    # The key under which a Secret has it, as charts ask for it; what nginx passes a request on to.
    r"|passw(?:or)?d[-_]?key$|(?:proxy|fastcgi|uwsgi|grpc|by)[-_]?pass$"
    # Rocket.Chat's own settings: what passwords must be like, and how a provider is told the token.
    r"|password_(?:policy|history)_\w+$|token_sent_via$|access_token_param$|(?:identity_)?token_path$",
    re.IGNORECASE,
)
_FORMS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]+", re.IGNORECASE),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"),
    re.compile(r"\bxox[abposr]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    # A JSON Web Token. It is looked for only from where a run of its letters begins, and only if two more
    # follow with dots, without ever going back: a hostile text takes no longer than its length.
    re.compile(
        r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]++\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8})"
        r"[A-Za-z0-9_-]*?eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++"
    ),
    re.compile(r"(?<=AccountKey=)[A-Za-z0-9+/=]{20,}|(?<=[?&]sig=)[A-Za-z0-9%+/=]{20,}"),
    re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=\bbearer )[A-Za-z0-9._~+/=-]{12,}"),
)


def names_secret(name: str) -> bool:
    """Whether a field or variable of this name is likely to hold a secret rather than point to one."""
    return bool(_NAME.search(name)) and not _REFERENCE.search(name)


def holds_secret(text: str) -> bool:
    """Whether the text has the form of a secret, whatever it is called."""
    return any(form.search(text) for form in _FORMS)


def mask_forms(text: str) -> str:
    """The text with everything masked that has a secret's form."""
    for form in _FORMS:
        text = form.sub(MASK, text)
    return text


def make_redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """`redact` for the same secrets again and again: their encodings are made once."""
    variants = _sorted_variants(secrets)

    def apply(text: str) -> str:
        for variant in variants:
            text = text.replace(variant, MASK)
        return mask_forms(text)

    return apply


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the secrets and without what looks like one.

    A secret is found plain, in base64 (also in the middle of something longer), in hexadecimal, and quoted
    for a URL, JSON, HTML or a shell. Those below four characters are left alone: masking them would destroy
    the text and name their letters.
    """
    return make_redactor(secrets)(text)


def _sorted_variants(secrets: Iterable[str]) -> list[str]:
    variants = {variant for secret in secrets for variant in _secret_variants(secret)}
    # The longest first, so that a secret that begins with another leaves no tail.
    return sorted(variants, key=len, reverse=True)


def _secret_variants(secret: str) -> Iterable[str]:
    lines = [line.strip() for line in secret.splitlines()]
    # Lines by themselves as well: a tool that quotes a key file quotes one line of it.
    for raw in {secret, secret.strip(), *(line for line in lines if len(line) >= 16)}:
        if len(raw) < MIN_SECRET_LENGTH:
            continue
        data = raw.encode(errors="surrogatepass")
        yield raw
        yield from _quoted_variants(raw, data)
        yield from (data.hex(), data.hex().upper())
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(data).decode()
            yield from (encoded, encoded.rstrip("="))
            yield from _base64_variants(data, encode)


def _quoted_variants(raw: str, data: bytes) -> Iterable[str]:
    for safe in ("", "/"):
        url = quote(data, safe=safe)
        yield from (url, url.replace("%20", "+"), re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), url))
    ascii_only, escaped = json.dumps(raw)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1]
    yield from (ascii_only, escaped)
    # Go's JSON, which is what Helm and kubectl write, hides these three as well.
    for character in "<>&":
        escaped = escaped.replace(character, f"\\u{ord(character):04x}")
    yield escaped
    yield from (html.escape(raw), html.escape(raw, quote=False), raw.replace("'", "'\\''"))
    yield raw.replace("'", "''")  # YAML's single quotes


def _base64_variants(data: bytes, encode: Callable[[bytes], bytes]) -> Iterable[str]:
    """The base64 of the secret inside a longer text, per alignment, without what depends on that text."""
    # Three bytes are four letters: where the secret begins within a group decides how it looks, and both
    # edges depend on the neighbours.
    for shift, spoiled in ((0, 0), (1, 2), (2, 3)):
        whole = (shift + len(data)) * 8 // 6
        core = encode(b"\0" * shift + data).decode()[spoiled:whole]
        if len(core) >= 2 * MIN_SECRET_LENGTH:
            yield core
