"""Verdicts on what the app itself signs in to the cluster with: can it be revoked, and how long does it last.

A token that is bound to a Secret ends with it; any other is valid until its end, whoever has it:
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from shared.hardening.model import AuditVerdict, HardeningFinding, RuleSeverity
from shared.kernel.durations import format_duration
from shared.kernel.secret import Secret
from shared.kernel.timestamps import from_unix_seconds
from shared.kernel.yaml_text import load_yaml

_RULE = "cluster/own-token"
# The bootstrap's is ninety days, and whoever rotates it every month notices when that stops.
_LONGEST = timedelta(days=100)
_WARNING = RuleSeverity.WARNING
_LEGACY = "kubernetes.io/serviceaccount/secret.name"


def judge_own_token(kubeconfig: Secret) -> Iterator[HardeningFinding]:
    """Two verdicts on the token in it; one that cannot be read, or says nothing of itself, is unknown."""
    claims = _read_claims(kubeconfig)
    if isinstance(claims, str):
        yield HardeningFinding(_RULE, AuditVerdict.UNKNOWN, _WARNING, claims, "a service account's token")
    elif claims is not None:
        yield from _judge_claims(claims)


def _judge_claims(claims: Mapping[str, Any]) -> Iterator[HardeningFinding]:
    bound = claims.get("kubernetes.io")
    secret = (bound.get("secret") if isinstance(bound, Mapping) else None) or claims.get(_LEGACY)
    verdict = AuditVerdict.MET if secret else AuditVerdict.MISSED
    observed = "it ends with its Secret" if secret else "it is bound to no Secret"
    why = "nothing ends it before its time, and a rotation cannot revoke it: docs/deploying.md makes another"
    yield HardeningFinding(f"{_RULE}/bound", verdict, _WARNING, observed, "a Secret of its own", why)
    begin, end = (from_unix_seconds(claims.get(name)) for name in ("iat", "exp"))
    lasts = end - begin if begin and end else None
    verdict = AuditVerdict.MET if lasts is not None and lasts <= _LONGEST else AuditVerdict.MISSED
    observed = f"it is valid for {format_duration(lasts)}" if lasts is not None else "it never ends"
    expected = f"at most {format_duration(_LONGEST)}"
    why = "whoever finds a copy has the release and its Secrets for as long"
    yield HardeningFinding(f"{_RULE}/lifetime", verdict, _WARNING, observed, expected, why)


def _read_claims(kubeconfig: Secret) -> Mapping[str, Any] | str | None:
    """What the token says of itself, or in words why that is not known, quoting nothing of it.

    None where a program makes the credential at each sign-in, as on AKS: none of it is kept.
    """
    import yaml

    try:
        users = [one["user"] for one in load_yaml(kubeconfig.reveal())["users"]]
        tokens = [str(user["token"]) for user in users if user.get("token")]
        if not tokens and any(user.get("exec") for user in users):
            return None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return "the kubeconfig cannot be read"
    # A client certificate is valid until its end, and nothing in a cluster takes it back.
    if len(tokens) != 1:
        return "it signs in with a certificate, or with several tokens"
    parts = tokens[0].split(".")
    try:
        body = parts[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, binascii.Error, ValueError):
        return "its token says nothing of itself"
    return claims if isinstance(claims, dict) else "its token says nothing of itself"
