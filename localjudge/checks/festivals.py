"""Festival greetings and whether they come in time: on the day, or up to five days before."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.calendar import FIRST_YEAR, LAST_YEAR, Festival
from localjudge.checks.greetings import Greeting, greetings
from localjudge.checks.text import Text, text_of
from localjudge.records import UTC8, Record

# In these months 新年快乐 may be meant for 1 January.
_EITHER_YEAR = (12, 1)
_Calendar = Literal["lunar", "solar"]


class FestivalGreeting(Check):
    """A greeting for a festival is sent on its day, or in the days before."""

    name: ClassVar[str] = "festival_greeting"
    confidence: ClassVar[Confidence] = "decides"

    calendar: _Calendar = "lunar"
    days_before: Annotated[int, Field(ge=0, le=60)] = 5

    def look(self, record: Record) -> Opinion:
        """Violated for a greeting out of time; not applicable where nothing of this calendar is greeted."""
        text = text_of(record.message)
        greeted, generic = greetings(text, record)
        found = [greeting for greeting in greeted if self._mine(greeting.festivals)]
        if not found:
            return self.unknown("祝的是哪个节不能确定", text.span(*generic)) if generic else self.not_applicable()
        if record.send_time is None:
            return self.unknown("没有发送时间", text.span(*found[0][:2]))
        sent = record.send_time.astimezone(UTC8).date()
        if not FIRST_YEAR < sent.year < LAST_YEAR:
            return self.unknown("发送时间超出1901至2099年", text.span(*found[0][:2]))
        certain = {festival.name for entry in found if entry.standing == "greeting" for festival in entry.festivals}
        opinions = [
            self._judged(text, greeting, sent)
            for greeting in found
            # A mention of what is greeted beside it says nothing more.
            if greeting.standing == "greeting" or not certain.issuperset(entry.name for entry in greeting.festivals)
        ]
        worst = {0: 0, None: 1, 1: 2}
        return min(opinions, key=lambda opinion: worst[opinion.score])

    def _mine(self, festivals: tuple[Festival, ...]) -> tuple[Festival, ...]:
        return tuple(festival for festival in festivals if festival.is_lunar == (self.calendar == "lunar"))

    def _judged(self, text: Text, greeting: Greeting, sent: date) -> Opinion:
        span = text.span(greeting.start, greeting.end)
        shown = text.shown(greeting.start, greeting.end, 0)
        if greeting.standing == "doubtful":
            return self.unknown(f"“{shown}”是否节日祝福不能确定", span)
        festivals = self._mine(greeting.festivals)
        days = [(day, festival) for festival in festivals for day in festival.near(sent)]
        day, festival = min(days, key=lambda entry: (not self._timely(entry[0], sent), abs((entry[0] - sent).days)))
        evidence = f"“{shown}”：{festival.name}是{day}，{_distance(day, sent)}"
        if self._timely(day, sent):
            return self.met(evidence, span)
        if len(greeting.festivals) > len(festivals) and sent.month in _EITHER_YEAR:
            return self.unknown(f"“{shown}”祝的是元旦还是春节不能确定", span)
        return self.violated(evidence, span)

    def _timely(self, day: date, sent: date) -> bool:
        return 0 <= (day - sent).days <= self.days_before


def _distance(day: date, sent: date) -> str:
    days = (day - sent).days
    if days == 0:
        return "当天发送"
    return f"提前{days}天发送" if days > 0 else f"已过{-days}天"
