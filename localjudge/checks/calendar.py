"""The days on which festivals fall. Lunar days come from a calendar library, loaded by the first greeting."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from localjudge.strict_yaml import load_yaml

FIRST_YEAR, LAST_YEAR = 1900, 2100
"""Years for which the lunar days were held against a second library."""

_LISTS = resources.files("localjudge") / "checks" / "lists"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Festival(_Frozen):
    """One festival: when it is, and how it is named."""

    name: Annotated[str, Field(min_length=1)]
    calendar: Literal["lunar", "eve", "qingming", "solar", "weekday"]
    days: tuple[tuple[int, ...], ...] = ()
    names: tuple[str, ...] = ()
    greetings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_its_days(self) -> Festival:
        parts = {"lunar": 2, "solar": 2, "weekday": 3}.get(self.calendar, 0)
        if any(len(day) != parts for day in self.days) or bool(self.days) != bool(parts):
            raise ValueError(f"festival {self.name}: days do not fit calendar {self.calendar}")
        return self

    @property
    def is_lunar(self) -> bool:
        """Whether it belongs to the traditional calendar."""
        return self.calendar in ("lunar", "eve", "qingming")

    def dates(self, year: int) -> tuple[date, ...]:
        """The festival's days of one year; 腊八, 小年, 除夕 of a lunar year fall at the start of the next solar one."""
        return _dates(self, year)

    def near(self, day: date) -> tuple[date, ...]:
        """Its days of the year of `day` and of those beside it, in order."""
        found = self._near.get(day.year)
        if found is None:
            years = (day.year - 1, day.year, day.year + 1)
            found = self._near[day.year] = tuple(sorted(date for year in years for date in self.dates(year)))
        return found

    @cached_property
    def _near(self) -> dict[int, tuple[date, ...]]:
        # By year: to hash a festival takes longer than all else that is asked of it.
        return {}


class Almanac(_Frozen):
    """All festivals, lunar and solar."""

    festivals: tuple[Festival, ...]
    only_with_jie: tuple[str, ...] = ()
    """Names that mean a festival only where 节 follows."""


@lru_cache(maxsize=1)
def almanac() -> Almanac:
    """The packaged festivals."""
    text = (_LISTS / "festivals.yaml").read_text(encoding="utf-8")
    return Almanac.model_validate(load_yaml(text, "checks/lists/festivals.yaml"))


@lru_cache(maxsize=4096)
def _dates(festival: Festival, year: int) -> tuple[date, ...]:
    if festival.calendar == "eve":
        return (_lunar(year + 1, 1, 1) - timedelta(days=1),)
    if festival.calendar == "qingming":
        return (_qingming(year),)
    if festival.calendar == "lunar":
        return tuple(_lunar(year, month, day) for month, day in festival.days)
    if festival.calendar == "solar":
        return tuple(date(year, month, day) for month, day in festival.days)
    return tuple(_weekday(year, month, week, weekday) for month, week, weekday in festival.days)


def _lunar(year: int, month: int, day: int) -> date:
    """A day of a month that is no leap month: festivals have none of their own in those."""
    return _months(year)[month] + timedelta(days=day - 1)


@lru_cache(maxsize=512)
def _months(year: int) -> dict[int, date]:
    """The first days of a lunar year's months, without the leap month: the library reckons a year at a time."""
    from lunar_python import LunarYear, Solar

    firsts = {}
    for month in LunarYear.fromYear(year).getMonthsInYear():
        if month.getMonth() > 0:
            solar = Solar.fromJulianDay(month.getFirstJulianDay())
            firsts[month.getMonth()] = date(solar.getYear(), solar.getMonth(), solar.getDay())
    return firsts


def _qingming(year: int) -> date:
    from lunar_python import Solar

    solar = Solar.fromYmd(year, 4, 1).getLunar().getJieQiTable()["清明"]
    return date(solar.getYear(), solar.getMonth(), solar.getDay())


def _weekday(year: int, month: int, week: int, weekday: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.isoweekday()) % 7 + 7 * (week - 1))
