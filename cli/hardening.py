"""`groundcrew hardening`: strong settings that stay strong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.console import as_json, confirm, print_answer, print_table, yes_option
from cli.identity import current_user
from shared.wiring.hardening import hardening_deps as wiring

if TYPE_CHECKING:
    from shared.hardening.apply import SettingFix
    from shared.hardening.model import HardeningFinding


@click.group()
def hardening() -> None:
    """Audit settings, people, the cluster and the network, and set right what can be."""


@hardening.command()
@click.option("--all", "all_", is_flag=True, help="Show the rules that are met, too.")
@as_json
def audit(all_: bool, json_: bool) -> None:
    """Compare what is set with the baseline now. Changes and tells nothing. Exit 1 if anything is open."""
    from shared.hardening.job import describe_audit, preview_audit

    preview = preview_audit(wiring())
    shown = preview.findings if all_ else preview.open
    if json_:
        print_answer([_as_dict(one, preview.drifted) for one in shown], json_=True)
    else:
        rows = [
            (one.verdict, one.severity, one.id, one.seen, one.wanted, one.why or one.changed) for one in shown
        ]
        if rows:
            print_table("Hardening", ("verdict", "severity", "rule", "seen", "wanted", "why"), rows)
        click.echo(describe_audit(preview))
    if preview.open:
        raise SystemExit(1)


@hardening.command()
@click.argument("rules", nargs=-1)
@as_json
def plan(rules: tuple[str, ...], json_: bool) -> None:
    """Show which settings `apply` would change, and what makes them last. Changes nothing."""
    from shared.hardening.apply import describe_lasting, plan_fixes

    fixes = plan_fixes(wiring(), rules)
    text = "\n".join(f"would set {fix}" for fix in fixes) or "nothing to set"
    if fixes:
        # A variable of the chart wins at the next start of a pod: without it, what is set here is undone
        # then.
        text += f"\n\nTo make them last, in the chart's values:\n\n{describe_lasting(fixes)}"
    print_answer([_fix_as_dict(fix) for fix in fixes], json_=json_, text=text)


@hardening.command()
@click.argument("rules", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Show what would be done.")
@yes_option
@as_json
def apply(rules: tuple[str, ...], dry_run: bool, yes: bool, json_: bool) -> None:
    """Set what the baseline wants, for RULES or for all that have one right value.

    A second person has to approve exactly these values, which is requested first.
    """
    from shared.hardening.apply import apply_fixes, plan_fixes

    deps = wiring()
    fixes = plan_fixes(deps, rules)
    text = "\n".join(f"would set {fix}" for fix in fixes) or "nothing to set"
    # Nothing to set is no failure, and there is nothing to approve.
    if dry_run or not fixes:
        print_answer([_fix_as_dict(fix) for fix in fixes], json_=json_, text=text)
        return
    confirm("\n".join(["set", *(f"  {fix}" for fix in fixes)]) + "\n?", yes=yes)
    done = apply_fixes(deps, fixes, by=current_user())
    print_answer(done, json_=json_, text="\n".join(done))


@hardening.command("sign-on")
@click.argument("provider")
@click.option("--dry-run", is_flag=True, help="Prove the provider and show what would be set.")
@yes_option
@as_json
def sign_on(provider: str, dry_run: bool, yes: bool, json_: bool) -> None:
    """Set PROVIDER of hardening.sign_on in policy.yaml up in the chat, once its metadata is proven.

    A second person has to approve exactly these values, which is requested first. The client's secret is not
    set from here.
    """
    from shared.hardening.set_up import apply_sign_on, describe_rest, plan_sign_on

    deps = wiring()
    plan = plan_sign_on(deps, provider)
    lines, rest = plan.lines(), describe_rest(plan, deps.chat_address)
    if dry_run or not lines:
        text = "\n".join(f"would set {line}" for line in lines) or "nothing to set"
        text += f"\n\n{rest}\n\nTo make it last, in the chart's values:\n\n{plan.lasting()}"
        answer = {"provider": provider, "changes": dict(plan.changes), "rest": rest}
        print_answer(answer, json_=json_, text=text)
        return
    # Every value is shown: one address among them decides to whom everybody's sign-in goes.
    confirm("\n".join([f"set {provider} up", *(f"  {line}" for line in lines)]) + "\n?", yes=yes)
    done = apply_sign_on(deps, plan, by=current_user())
    print_answer(
        {"provider": provider, "done": done, "rest": rest}, json_=json_, text="\n".join([*done, rest])
    )


def _as_dict(one: HardeningFinding, drifted: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rule": one.id, "verdict": one.verdict, "severity": one.severity, "seen": one.seen,
        "wanted": one.wanted, "why": one.why, "changed": one.changed, "drifted": one.id in drifted,
    }  # fmt: skip


def _fix_as_dict(fix: SettingFix) -> dict[str, Any]:
    return {"rule": fix.rule.id, "setting": fix.rule.setting, "before": fix.before, "after": fix.after}
