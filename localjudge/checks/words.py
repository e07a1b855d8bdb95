"""Words that do not fit: forbidden by the persona's age and gender, or outdated. Decides what the lists and a word's
standing make certain, and leaves the rest to the model.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.lexicon import Lexicon, WordList, Words, packaged_lexicon
from localjudge.checks.persona import Persona, in_years, persona_of
from localjudge.checks.standing import Hit, hits
from localjudge.checks.text import text_of
from localjudge.records import Record

_SLANG_FROM = 45
"""The age from which pictures, too, may be out of place: the model says."""
_ANYBODY = Persona()


class ForbiddenWords(Check):
    """Words that do not fit the persona's age or gender."""

    name: ClassVar[str] = "forbidden_words"
    confidence: ClassVar[Confidence] = "decides"

    lists: tuple[WordList, ...] = ()
    """Instead of the packaged lists."""
    legitimate: Words = ()
    """Further words in which a particle is none."""
    brief: int = 150
    """From this length on, a message of a man up to 35 is left to the model: he is to be brief."""

    def look(self, record: Record) -> Opinion:
        """Violated for a word that counts; unknown for one that might; met where there is neither."""
        if not record.agent_profile:
            return self.not_applicable()
        persona = persona_of(record.agent_profile)
        text = text_of(record.message)
        doubt: Hit | None = None
        for hit in hits(text, record, self._lexicon, persona):
            for words, certain in hit.lists:
                if certain and hit.standing == "word" and words.found == "violated":
                    evidence = f"“{text.shown(hit.start, hit.end)}”：{words.name}"
                    return self.violated(evidence, text.span(hit.start, hit.end))
            doubt = doubt or hit
        if doubt is not None:
            shown = text.shown(doubt.start, doubt.end)
            return self.unknown(f"“{shown}”是否算禁用词不能确定", text.span(doubt.start, doubt.end))
        if text.has_emoji and not _is_young_woman(persona):
            return self.unknown("有表情，是否合乎年龄性别由模型判断")
        if (
            persona.gender != "female"
            and len(record.message) >= self.brief
            and in_years(persona, None, 35) is not False
        ):
            return self.unknown("篇幅较长，是否简短直接由模型判断")
        return self.clear("没有该年龄性别的禁用词")

    @property
    def _lexicon(self) -> Lexicon:
        return _lexicon(self.lists, self.legitimate)


class OutdatedWords(Check):
    """Things and words of another time."""

    name: ClassVar[str] = "outdated_words"
    confidence: ClassVar[Confidence] = "witness"

    words: Words = ()
    """Instead of the packaged list."""

    def look(self, record: Record) -> Opinion:
        """Violated for an outdated word; met without one."""
        text = text_of(record.message)
        lexicon = _outdated(self.words) if self.words else packaged_lexicon("outdated_words")
        for hit in hits(text, record, lexicon, _ANYBODY):
            if hit.standing == "word":
                return self.violated(f"“{text.shown(hit.start, hit.end)}”：过时的事物或说法", text.span(*hit[:2]))
        return self.clear("没有过时的词")


def _is_young_woman(persona: Persona) -> bool:
    return persona.gender == "female" and in_years(persona, None, _SLANG_FROM - 1) is True


@lru_cache(maxsize=32)
def _lexicon(lists: tuple[WordList, ...], legitimate: Words) -> Lexicon:
    packaged = packaged_lexicon("forbidden_words")
    if not lists and not legitimate:
        return packaged
    known = packaged.legitimate | {"pack": legitimate}
    return Lexicon(
        lists=lists or packaged.lists,
        legitimate=known,
        either=packaged.either,
        openers=packaged.openers,
        places=packaged.places,
    )


@lru_cache(maxsize=32)
def _outdated(words: Words) -> Lexicon:
    return Lexicon(lists=(WordList(name="过时", words=words),))
