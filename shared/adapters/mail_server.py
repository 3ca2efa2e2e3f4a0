"""Signing in to a mail server by an address as Rocket.Chat's MAIL_URL has it; nothing is sent.

https://nodemailer.com/smtp/ (what Meteor reads such an address with): `smtps` is TLS from the start, `smtp`
begins in plain text. STARTTLS is asked for here in any case: a password is proven over TLS or not at all.
"""

from __future__ import annotations

import smtplib
import ssl
from urllib.parse import unquote, urlsplit

from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret

_TIMEOUT_SECONDS = 20.0
_PORTS = {"smtp": 587, "smtps": 465}
# RFC 4954, section 6: what says that user or password are wrong, or that the account may not sign in.
_REFUSALS = frozenset({530, 534, 535, 538})


def sign_in(address: Secret, context: ssl.SSLContext | None = None) -> None:
    """Over a new connection. Raises Refused if it is not let in, Unavailable without an answer."""
    parts = urlsplit(address.reveal().strip())
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 587)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    tls = context or ssl.create_default_context()
    try:
        with _connect(parts.scheme, host, port, tls) as server:
            if parts.scheme != "smtps":
                server.starttls(context=tls)
            server.login(user, password)
    except smtplib.SMTPNotSupportedError as error:
        raise Refused("the mail server offers no TLS, or no sign-in", value=host) from error
    except smtplib.SMTPAuthenticationError as error:
        # Not chained: what servers answer with may quote the user's name, or more.
        if error.smtp_code in _REFUSALS:
            raise Refused("the mail server does not let it in", value=f"{host}: {error.smtp_code}") from None
        raise Unavailable("the mail server cannot say now", value=f"{host}: {error.smtp_code}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable("the mail server does not answer", value=type(error).__name__) from None


def _connect(scheme: str, host: str, port: int, tls: ssl.SSLContext) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_SECONDS, context=tls)
    return smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS)
