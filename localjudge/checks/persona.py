"""Gender and age of the persona, read from a profile of any shape. What is not written stays unknown."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Gender = Literal["male", "female"]

_GENDER_KEYS = ("性别", "gender", "sex")
_AGE_KEYS = ("年龄", "年纪", "岁数", "age")
_NAME_KEYS = ("昵称", "姓名", "名字", "称呼", "网名", "小名", "name", "nickname")
_MALE = re.compile(
    r"(?:^|[\s，,、；;。：:（(/|｜])男(?=$|[\s，,、；;。）)/|｜])|男(?:性|生|士|人|的)|\bmale\b|(?<=岁)男"
)
_FEMALE = re.compile(
    r"(?:^|[\s，,、；;。：:（(/|｜])女(?=$|[\s，,、；;。）)/|｜])|女(?:性|生|士|人|的)|\bfemale\b|(?<=岁)女"
)
_YEARS = re.compile(r"(?<![\d.])(\d{1,3})\s*(?:周?岁|years? old|yo\b)|(?:年龄|age)\s*[:：是]?\s*(\d{1,3})(?!\d)")
_SPOKEN_YEARS = re.compile(
    r"([二三四五六七八九]?十)([一二三四五六七八九]?)(出头|多|来|几)?岁?(?=$|[\s，,、；;。）)的岁])"
)
_DIGITS = {digit: value for value, digit in enumerate("一二三四五六七八九", start=1)}
_LONGEST = 2000


class Persona(NamedTuple):
    """What a profile says. `age` is the span of years that it allows, both ends included."""

    gender: Gender | None = None
    age: tuple[int, int] | None = None


def persona_of(profile: dict[str, Any] | str) -> Persona:
    """Gender and age as the profile states them; a profile that says two things says nothing."""
    if isinstance(profile, str):
        return _of_text(profile[:_LONGEST])
    gender = _first(profile, _GENDER_KEYS)
    age = _first(profile, _AGE_KEYS)
    if gender is not None and age is not None:
        return Persona(_gender(str(gender)), _age(age))
    # Free text is asked only where no key answers.
    rest = _of_text("；".join(value for value in profile.values() if isinstance(value, str))[:_LONGEST])
    return Persona(
        _gender(str(gender)) if gender is not None else rest.gender,
        _age(age) if age is not None else rest.age,
    )


def in_years(persona: Persona, low: int | None, high: int | None) -> bool | None:
    """Whether the persona's age lies in a range, for every age that the profile allows; None where they differ."""
    if persona.age is None:
        return None
    above = low is None or persona.age[0] >= low, low is None or persona.age[1] >= low
    below = high is None or persona.age[0] <= high, high is None or persona.age[1] <= high
    answers = {above[0] and below[0], above[1] and below[1]}
    return answers.pop() if len(answers) == 1 else None


def names_of(profile: dict[str, Any] | str) -> list[str]:
    """The names that a profile gives."""
    if isinstance(profile, str):
        return []
    found = []
    for key in _NAME_KEYS:
        if key in profile and isinstance(profile[key], str) and profile[key]:
            found.append(profile[key])
    return found


def _first(profile: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = profile.get(key)
        if value is not None and value != "":
            return value
    return None


@lru_cache(maxsize=1024)
def _of_text(text: str) -> Persona:
    return Persona(_gender(text), _written_age(text))


@lru_cache(maxsize=64)
def _gender(text: str) -> Gender | None:
    lowered = text.strip().lower()
    if lowered in ("m", "f"):
        return "male" if lowered == "m" else "female"
    male, female = bool(_MALE.search(lowered)), bool(_FEMALE.search(lowered))
    if male == female:
        return None
    return "male" if male else "female"


def _age(value: Any) -> tuple[int, int] | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return (int(value), int(value)) if 0 < value < 150 else None
    text = str(value).strip()[:40]
    if text.isascii() and text.isdigit():
        return (int(text), int(text)) if len(text) <= 3 and 0 < int(text) < 150 else None
    return _written_age(text)


def _written_age(text: str) -> tuple[int, int] | None:
    found = {int(first or second) for first, second in _YEARS.findall(text)}
    if found:
        years = found.pop()
        return (years, years) if not found and years else None
    spoken = _SPOKEN_YEARS.findall(text) if "十" in text else []
    if len(spoken) != 1:
        return None
    tens, ones, about = spoken[0]
    base = 10 * _DIGITS.get(tens[0], 1)
    if ones:
        return None if about else (base + _DIGITS[ones], base + _DIGITS[ones])
    if not about and "岁" not in text:
        return None
    spread = {"": (0, 0), "出头": (0, 4), "多": (1, 9), "几": (1, 9), "来": (-2, 4)}[about]
    return base + spread[0], base + spread[1]
