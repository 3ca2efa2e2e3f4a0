"""`groundcrew calendar`: what ends, and how many powered-on days are left until then."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli.console import as_json, print_answer, print_table


@click.command()
@click.option("--now", "fresh", is_flag=True, help="Look anew instead of showing what the timer made last.")
@click.option("--ics", is_flag=True, help="Write it as iCalendar.")
@click.option("--growth", is_flag=True, help="Show how fast collections grow, by what backups counted.")
@as_json
def calendar(fresh: bool, ics: bool, growth: bool, json_: bool) -> None:
    """Show the dates on which people are locked out if nobody acts. Exit 1 if one is within 14 powered-on
    days. Changes and tells nothing."""
    from shared.calendar.ics import render_feed
    from shared.calendar.job import preview_calendar
    from shared.calendar.records import LockoutCalendar
    from shared.calendar.render import describe_calendar
    from shared.wiring import system_clock
    from shared.wiring.calendar import calendar_deps, load_last

    if growth:
        _print_growth(json_=json_)
        return
    last = None if fresh else load_last()
    made = last or LockoutCalendar(system_clock().now(), preview_calendar(calendar_deps()))
    if ics:
        click.echo(render_feed(made.entries, made.at), nl=False)
    elif json_:
        print_answer({"at": made.at, "entries": [asdict(entry) for entry in made.entries]}, json_=True)
    else:
        rows = [
            (
                f"{entry.deadline.at:%Y-%m-%d}" if entry.deadline.at else "unknown",
                "-" if entry.powered_days is None else str(entry.powered_days),
                str(entry.deadline.kind),
                entry.deadline.name,
                entry.deadline.consequence if entry.deadline.at else entry.deadline.unknown,
            )
            for entry in made.entries
        ]
        if rows:
            print_table("Calendar", ("END", "POWERED-ON DAYS", "WHAT", "OF", "THEN"), rows)
        click.echo(describe_calendar(made.entries))
    if any(entry.threshold is not None and entry.threshold <= 14 for entry in made.entries):
        raise SystemExit(1)


def _print_growth(*, json_: bool) -> None:
    from shared.calendar.growth import measure_growth
    from shared.calendar.observed_growth import read_growth
    from shared.wiring.calendar import calendar_deps

    observed = read_growth(calendar_deps())
    rows = measure_growth(observed.sets)
    if json_:
        days = [asdict(one) for one in observed.captured]
        fields = {"namespaces": [asdict(row) for row in rows], "captured": days, "unread": observed.unread}
        print_answer(fields, json_=True)
        return
    for source, reason in observed.unread.items():
        click.echo(f"{source}: not known: {reason}")
    if not rows:
        click.echo("there are not backups enough to compare")
    else:
        sizes = [(row.name, row.size_bytes, row.last_per_day, row.mean_per_day) for row in rows]
        shown = [(name, *(f"{one / (1 << 20):,.1f} MiB" for one in numbers)) for name, *numbers in sizes]
        print_table("Growth", ("NAMESPACE", "SIZE", "A DAY, LAST", "A DAY, MEAN"), shown)
    if observed.captured:
        captured = [
            (str(one.day), str(one.slices), f"{one.stored_bytes / (1 << 20):,.1f} MiB")
            for one in observed.captured
        ]
        print_table("Capture of the oplog", ("DAY (UTC)", "SLICES", "STORED"), captured)
