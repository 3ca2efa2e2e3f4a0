"""cert-manager's kinds, with what of their published schemas decides whether an object is taken.

https://github.com/cert-manager/cert-manager/tree/v1.21.2/deploy/crds
"""

from __future__ import annotations

from local.kubernetes.errors import Object

# Group, kind, plural, scope, short names.
KINDS = (
    ("cert-manager.io", "Certificate", "certificates", "Namespaced", ("cert", "certs")),
    ("cert-manager.io", "CertificateRequest", "certificaterequests", "Namespaced", ("cr", "crs")),
    ("cert-manager.io", "Issuer", "issuers", "Namespaced", ("iss",)),
    ("cert-manager.io", "ClusterIssuer", "clusterissuers", "Cluster", ("ciss",)),
    ("acme.cert-manager.io", "Order", "orders", "Namespaced", ()),
    ("acme.cert-manager.io", "Challenge", "challenges", "Namespaced", ()),
)


def _require(*names: str, **fields: Object) -> Object:
    """An object that must have these fields and may have any other."""
    rest: Object = {"required": list(names)} if names else {}
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": fields, **rest}


_TEXT: Object = {"type": "string"}
_NAMED = _require("name", name=_TEXT)
_ISSUER = _require(
    acme=_require("privateKeySecretRef", "server", privateKeySecretRef=_NAMED, server=_TEXT, email=_TEXT),
    ca=_require("secretName", secretName=_TEXT),
)
_CHALLENGE = ("authorizationURL", "dnsName", "issuerRef", "key", "solver", "token", "type", "url")
SPECS: dict[str, Object] = {
    "Certificate": _require("issuerRef", "secretName", issuerRef=_NAMED, secretName=_TEXT),
    "CertificateRequest": _require("issuerRef", "request", issuerRef=_NAMED, request=_TEXT),
    "Issuer": _ISSUER,
    "ClusterIssuer": _ISSUER,
    "Order": _require("issuerRef", "request", issuerRef=_NAMED, request=_TEXT),
    "Challenge": _require(*_CHALLENGE, dnsName=_TEXT, issuerRef=_NAMED),
}
# What of the published schema of a Certificate's status matters to who writes it: conditions are a map by
# type, whose status is one of three.
# https://github.com/cert-manager/cert-manager/blob/master/deploy/crds/cert-manager.io_certificates.yaml
_CONDITIONS: Object = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["status", "type"],
        "properties": {
            "type": {"type": "string"},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string"},
            "message": {"type": "string"},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "observedGeneration": {"type": "integer", "format": "int64"},
        },
    },
}
CERTIFICATE_STATUS: Object = {
    "type": "object",
    "properties": {
        "conditions": _CONDITIONS,
        **{
            name: {"type": "string", "format": "date-time"}
            for name in ("lastFailureTime", "notBefore", "notAfter", "renewalTime")
        },
        **{name: {"type": "integer"} for name in ("revision", "failedIssuanceAttempts")},
        "nextPrivateKeySecretName": {"type": "string"},
    },
}
