"""Kubernetes' and cert-manager's objects as values; pure, and patient with what an object may lack.

Fields: https://cert-manager.io/docs/reference/api-docs/ (cert-manager.io/v1, acme.cert-manager.io/v1).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.certificates.model import AcmeIssuer, HostTarget, ManagedCertificate, TlsSecret, TokenSecret
from shared.formats.x509 import is_key_of, parse_pem_certificates
from shared.kernel.errors import Corrupt
from shared.kernel.redact import redact
from shared.kernel.timestamps import parse_optional_timestamp

Json = Mapping[str, Any]
_REVISION = "cert-manager.io/certificate-revision"
_MAX_REASON = 300
_DONE = frozenset({"valid", "ready"})
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def parse_tls_secret(item: Json) -> TlsSecret:
    """The Secret's certificates; the key is only compared."""
    meta = item["metadata"]
    namespace, name, data = str(meta["namespace"]), str(meta["name"]), item.get("data") or {}
    try:
        # A Secret without them is one that cert-manager has not filled yet: a problem of it, not of the scan.
        certificate, key = _decode(data, "tls.crt"), _decode(data, "tls.key")
        chain = parse_pem_certificates(certificate, "tls.crt")
    except Corrupt as error:
        return TlsSecret(namespace, name, problem=str(error))
    try:
        is_matching = is_key_of(key, certificate, "tls.key")
    except Corrupt as error:
        # With the chain: when it ends is known, although the key beside it is broken.
        return TlsSecret(namespace, name, chain, str(error))
    return TlsSecret(namespace, name, chain, "" if is_matching else "tls.key is not the key of tls.crt")


def parse_token_secret(item: Json) -> TokenSecret:
    """Whose token it is, how old, and the CA beside it; the token itself is not looked at."""
    meta = item["metadata"]
    account = str((meta.get("annotations") or {}).get("kubernetes.io/service-account.name") or "unknown")
    created = parse_optional_timestamp(meta.get("creationTimestamp"))
    secret = TokenSecret(str(meta["namespace"]), str(meta["name"]), account, created)
    try:
        bundle = parse_pem_certificates(_decode(item.get("data") or {}, "ca.crt"), "ca.crt")
    except Corrupt as error:
        return replace(secret, problem=str(error))
    # A bundle holds an old and a new CA while one replaces the other.
    return replace(secret, authority=max(bundle, key=lambda one: one.not_after))


def _decode(data: Json, key: str) -> bytes:
    if not data.get(key):
        raise Corrupt(f"{key} is empty")
    try:
        return base64.b64decode(str(data[key]), validate=True)
    except (binascii.Error, ValueError):
        raise Corrupt(f"{key} is not base64") from None


def parse_ingress_hosts(item: Json) -> Iterator[HostTarget]:
    """The hosts under `spec.tls`, each with its Secret."""
    namespace = str(item["metadata"]["namespace"])
    for tls in (item.get("spec") or {}).get("tls") or ():
        # An Ingress without one shows its controller's default certificate.
        secret = str(tls.get("secretName") or "")
        for host in tls.get("hosts") or ():
            # Whoever may write an Ingress chooses these names: only what is a host name is ever asked.
            if _HOST.fullmatch(str(host).lower()):
                reference = f"{namespace}/{secret}" if secret else ""
                yield HostTarget(str(host).lower(), secret=reference, named=False)


def parse_managed(
    item: Json, requests: Sequence[Json], orders: Sequence[Json], challenges: Sequence[Json], blind: str = ""
) -> ManagedCertificate:
    """A Certificate with the reason of its newest request; `blind` says why that cannot be known."""
    meta, status, spec = item["metadata"], item.get("status") or {}, item.get("spec") or {}
    ready = _condition(status, "Ready")
    issuing = _condition(status, "Issuing")
    newest = _newest_request(item, requests)
    return ManagedCertificate(
        namespace=str(meta["namespace"]),
        name=str(meta["name"]),
        secret=str(spec.get("secretName") or ""),
        # "Unknown" and a missing condition are None: neither good nor failed.
        ready={"True": True, "False": False}.get(str(ready.get("status"))),
        ready_since=parse_optional_timestamp(
            ready.get("lastTransitionTime") or meta.get("creationTimestamp")
        ),
        reason=_clean(ready.get("message") or ready.get("reason") or ""),
        issuing=issuing.get("status") == "True",
        not_before=parse_optional_timestamp(status.get("notBefore")),
        not_after=parse_optional_timestamp(status.get("notAfter")),
        renews_at=parse_optional_timestamp(status.get("renewalTime")),
        failed_attempts=_count(status.get("failedIssuanceAttempts")),
        failure="; ".join(filter(None, [*_explain(newest, orders, challenges), blind])) if newest else blind,
    )


def _newest_request(item: Json, requests: Sequence[Json]) -> Json | None:
    # The newest by its revision: of two attempts in one second the time says nothing.
    own = [one for one in requests if _is_owned(one, item)]
    return max(own, key=_revision, default=None)


def _revision(request: Json) -> tuple[int, str]:
    meta = request["metadata"]
    return _count((meta.get("annotations") or {}).get(_REVISION)), str(meta.get("creationTimestamp"))


def _explain(request: Json | None, orders: Sequence[Json], challenges: Sequence[Json]) -> Iterator[str]:
    """What request, orders and challenges say, from the outside in; nothing of those that went well."""
    if request is None:
        return
    status = request.get("status") or {}
    # In this order: a denied request is also not ready, and the reason is in the first.
    for kind in ("Denied", "InvalidRequest", "Ready"):
        condition = _condition(status, kind)
        if condition and condition.get("status") == ("False" if kind == "Ready" else "True"):
            yield _sentence(
                "CertificateRequest", request, str(condition.get("reason") or kind), condition.get("message")
            )
            break
    for order in (one for one in orders if _is_owned(one, request)):
        yield from _acme_reason("Order", order)
        for challenge in (one for one in challenges if _is_owned(one, order)):
            yield from _acme_reason("Challenge", challenge)


def _acme_reason(kind: str, item: Json) -> Iterator[str]:
    status = item.get("status") or {}
    state = str(status.get("state") or "not begun")
    if state not in _DONE:
        yield _sentence(kind, item, state, status.get("reason"))


def _sentence(kind: str, item: Json, state: str, message: object) -> str:
    host = str((item.get("spec") or {}).get("dnsName") or "")
    name = f"{kind} for {host}" if host else f"{kind} {item['metadata']['name']}"
    return ": ".join(filter(None, (f"{name} is {state}", _clean(message or ""))))


def _is_owned(item: Json, owner: Json) -> bool:
    """By its uid: a name may have belonged to an object that is gone."""
    uid = owner["metadata"].get("uid")
    return any(one.get("uid") == uid for one in item["metadata"].get("ownerReferences") or ())


def _condition(status: Json, kind: str) -> Json:
    conditions: Iterable[Json] = status.get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), {})


def _clean(text: object) -> str:
    # An authority's answer may quote an account's key or a DNS provider's token.
    return redact(" ".join(str(text).split()))[:_MAX_REASON].rstrip(" .")


def _count(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0


def issuing_status(item: Json, now: str) -> dict[str, Any] | None:
    """The object with the condition that makes cert-manager issue anew; None if it is issuing already.

    As `cmctl renew` sets it: github cert-manager/cmctl, pkg/renew/renew.go. `now` is RFC 3339.
    """
    status = dict(item.get("status") or {})
    before = _condition(status, "Issuing")
    # Set twice, cert-manager would begin a second issuance, which counts against the authority's limits.
    if before.get("status") == "True":
        return None
    condition = {
        "type": "Issuing",
        "status": "True",
        "lastTransitionTime": now,
        "observedGeneration": item["metadata"].get("generation") or 0,
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
    }
    # The status is written as a whole: what is left out here would be lost.
    others = [one for one in status.get("conditions") or () if one.get("type") != "Issuing"]
    return {**item, "status": {**status, "conditions": [*others, condition]}}


def parse_acme_issuer(item: Json) -> AcmeIssuer | None:
    """None for an issuer without an ACME account."""
    acme = (item.get("spec") or {}).get("acme")
    if not isinstance(acme, Mapping):
        return None
    meta = item["metadata"]
    return AcmeIssuer(
        str(meta["name"]),
        str(acme.get("email") or ""),
        str(acme.get("server") or ""),
        str(meta["resourceVersion"]),
    )
