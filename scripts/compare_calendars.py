"""Every lunar festival of 1900 to 2100, as the checks date it, against a second calendar library (borax).

    python scripts/compare_calendars.py

Prints each difference with the festival, the year and both days. The last line is JSON.
"""

from __future__ import annotations

from datetime import date, timedelta

from bench_setting import print_figures
from borax.calendars.lunardate import LunarDate, TermUtils

from localjudge.checks.calendar import FIRST_YEAR, LAST_YEAR, Festival, almanac


def second_opinion(festival: Festival, year: int) -> tuple[date, ...] | None:
    """The festival's days by the other library; None beyond its range."""
    try:
        if festival.calendar == "qingming":
            return (TermUtils.nth_term_day(year, 6),)
        if festival.calendar == "eve":
            return (LunarDate(year + 1, 1, 1).to_solar_date() - timedelta(days=1),)
        return tuple(LunarDate(year, month, day).to_solar_date() for month, day in festival.days)
    except ValueError:
        return None


def differences() -> tuple[list[tuple[str, int, tuple[date, ...], tuple[date, ...]]], int, list[str]]:
    """The festivals on which the two differ, how many were compared, and which lie beyond the second's range."""
    found, beyond = [], []
    compared = 0
    # Year by year: the library keeps the new moons of one.
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        for festival in (festival for festival in almanac().festivals if festival.is_lunar):
            other = second_opinion(festival, year)
            if other is None:
                beyond.append(f"{festival.name} {year}")
                continue
            compared += len(other)
            if festival.dates(year) != other:
                found.append((festival.name, year, festival.dates(year), other))
    return found, compared, beyond


def main() -> None:
    """Compares, and prints the differences."""
    found, compared, beyond = differences()
    for name, year, ours, theirs in found:
        print(f"{name} {year}: {', '.join(map(str, ours))} against {', '.join(map(str, theirs))}")
    for place in beyond:
        print(f"{place}: beyond the second library's range")
    print_figures(benchmark="calendars", compared=compared, differences=len(found), beyond=len(beyond))


if __name__ == "__main__":
    main()
