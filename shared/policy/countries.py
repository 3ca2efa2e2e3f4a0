"""Countries and their subdivisions, as the holidays library knows them."""

from __future__ import annotations

from difflib import get_close_matches


def check_country(country: str, subdivision: str | None) -> tuple[str, str] | None:
    """Problem and hint when the `holidays` library does not know the place."""
    from holidays import country_holidays
    from holidays.registry import COUNTRIES

    # The registry has class name, alpha-2 and alpha-3 for each country; alpha-2 is what the policy takes.
    codes = {code: names[0] for names in COUNTRIES.values() for code in names[1:2]}
    if country not in codes:
        near = get_close_matches(country.upper(), codes, 1, 0.6)
        by_name = {name.lower(): code for code, name in codes.items()}
        named = get_close_matches(country.lower(), by_name, 1, 0.7)
        guess = by_name[named[0]] if named else near[0] if near else "DE"
        return (
            f"no holidays are known for the country '{country}'",
            f"Write an ISO 3166-1 code; perhaps {guess}",
        )
    parts = country_holidays(country).subdivisions
    if subdivision is not None and subdivision not in parts:
        known = ", ".join(parts) or "none"
        return f"{country} has no subdivision '{subdivision}'", f"Known are: {known}"
    return None
