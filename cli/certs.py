"""`groundcrew certs`: which certificates there are, how long they last, and why one is not renewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, confirm, print_answer, print_table, yes_option
from cli.identity import current_user
from shared.kernel.timestamps import format_minute
from shared.wiring.certificates import certificate_deps as wiring

if TYPE_CHECKING:
    from shared.certificates.model import CertificateEntry
    from shared.certificates.records import CertificateScan


@click.group()
def certs() -> None:
    """Watch certificates and have them renewed."""


@certs.command("list")
@as_json
def list_(json_: bool) -> None:
    """Look at every certificate now. Changes and tells nothing. Exit 1 if one is not good."""
    from shared.certificates import job

    # Nothing of it is stored: whoever looks must not silence the message of the scan that follows.
    _print_scan(job.preview_scan(wiring()), json_)


@certs.command()
@as_json
def scan(json_: bool) -> None:
    """Do what the timer does: look, tell people, hold the machine up. Exit 1 if one is not good."""
    from shared.certificates import job

    _print_scan(job.run_scan(wiring()), json_)


@certs.command()
@click.argument("name")
@click.option("-n", "--namespace", default="", help="Where it is, if several have that name.")
@click.option("--dry-run", is_flag=True, help="Show what would be done.")
@yes_option
@as_json
def renew(name: str, namespace: str, dry_run: bool, yes: bool, json_: bool) -> None:
    """Have cert-manager issue the Certificate NAME anew, as `cmctl renew` does."""
    from shared.certificates.renew import plan_renewal, renew_certificate

    deps = wiring()
    plan = plan_renewal(deps, name, namespace)
    answer = {"certificate": plan.certificate.reference, "notes": list(plan.notes)}
    if dry_run:
        print_answer({**answer, "done": ""}, json_=json_, text=f"would {plan}")
        return
    confirm(f"{plan}?", yes=yes)
    # Deleting the Secret would do it as well, and leave the server without a certificate until then.
    done = renew_certificate(deps, plan, by=current_user())
    print_answer({**answer, "done": done}, json_=json_, text=done)


@certs.group("issuer-email")
def issuer_email() -> None:
    """Change the address that ClusterIssuers give to their ACME authority."""


@issuer_email.command("plan")
@click.argument("email")
@as_json
def plan_(email: str, json_: bool) -> None:
    """Show which issuers would get the address EMAIL. Changes nothing."""
    from shared.certificates.issuer_email import plan_issuer_email

    changes = plan_issuer_email(wiring(), email)
    text = "\n".join(f"would change {one}" for one in changes) or "nothing to change"
    print_answer([dict(one.arguments) for one in changes], json_=json_, text=text)


@issuer_email.command("apply")
@click.argument("email")
@as_json
def apply_(email: str, json_: bool) -> None:
    """Change them; a second person has to approve each, which is requested first."""
    from shared.certificates.issuer_email import change_issuer_email, plan_issuer_email

    deps = wiring()
    # One after the other, each with an approval of its own: the first that is not approved ends it.
    done = [change_issuer_email(deps, one, by=current_user()) for one in plan_issuer_email(deps, email)]
    print_answer(done, json_=json_, text="\n".join(done) or "nothing to change")


def _print_scan(scan: CertificateScan, json_: bool) -> None:
    from shared.certificates.job import describe_scan
    from shared.certificates.model import CertificateState

    if json_:
        print_answer([_entry_as_dict(one) for one in scan.entries], json_=True)
    else:
        rows = [(one.state, one.kind, one.name, _expiry(one), "; ".join(one.reasons)) for one in scan.entries]
        if rows:
            print_table("Certificates", ("state", "kind", "name", "expires", "reasons"), rows)
        click.echo(describe_scan(scan))
    # Unknown counts as well: a scan that could not look must not pass a check in a script.
    if any(one.state is not CertificateState.GOOD for one in scan.entries):
        raise SystemExit(1)


def _expiry(one: CertificateEntry) -> str:
    return format_minute(one.not_after) if one.not_after else "unknown"


def _entry_as_dict(one: CertificateEntry) -> dict[str, Any]:
    return {
        "kind": one.kind, "name": one.name, "state": one.state, "reasons": list(one.reasons),
        "not_before": one.not_before, "not_after": one.not_after, "renews_at": one.renews_at,
        "seen": one.seen, "since": one.since, "excused": one.excused,
    }  # fmt: skip
