"""A witness that holds the message against the user's profile: is anything of this user in it?"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.persona import names_of
from localjudge.checks.text import text_of
from localjudge.records import Record

_PERSONAL = (
    "地区",
    "地域",
    "城市",
    "所在地",
    "家乡",
    "省份",
    "兴趣",
    "爱好",
    "喜好",
    "偏好",
    "region",
    "city",
    "hobby",
    "hobbies",
    "interests",
)
_SEPARATOR = re.compile(r"[\s、，,；;/|和与·]+")
_LONGEST = 400


class MentionsUser(Check):
    """The user's nickname, region or interests are used."""

    name: ClassVar[str] = "mentions_user"
    confidence: ClassVar[Confidence] = "witness"

    fields: tuple[str, ...] = _PERSONAL
    """Keys of the user profile whose values count, besides the names."""

    def look(self, record: Record) -> Opinion:
        """Met where one is named, violated where none is, not applicable where the profile gives none."""
        profile = record.user_profile
        if isinstance(profile, str):
            return self.unknown() if profile else self.not_applicable()
        known = names_of(profile) + [word for key in self.fields if key in profile for word in _words(profile[key])]
        if not known:
            return self.not_applicable()
        text = text_of(record.message)
        for word in known:
            place = text.visible.find(word)
            if place >= 0:
                return self.met(f"用到了“{word}”", text.span(place, place + len(word)))
        return self.violated("昵称、地区、兴趣都没有用到")


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [entry[:_LONGEST] for entry in values if isinstance(entry, str)]
    return [word for text in texts for word in _SEPARATOR.split(text) if len(word) > 1]
