"""Where the words of a message begin and end. The segmenter is loaded by the first message that needs it: few do."""

from __future__ import annotations

from functools import cached_property

_WINDOW = 400
"""Characters segmented around the start; beyond, a word is not looked up."""


class Segments:
    """The words of one text, found when first asked for."""

    def __init__(self, text: str) -> None:
        self._text = text[:_WINDOW]

    def alone(self, start: int, end: int) -> bool:
        """Whether a stretch is a word of its own."""
        return (start, end) in self._words

    def crosses(self, start: int, end: int) -> bool:
        """Whether a word reaches over either end of a stretch."""
        return any(low < start < high or low < end < high for low, high in self._words)

    def ends_word(self, end: int) -> bool:
        """Whether a word of the dictionary of two characters or more, such as 好呀, ends here."""
        return any(high == end and high - low > 1 for low, high in self._dictionary)

    @cached_property
    def _words(self) -> frozenset[tuple[int, int]]:
        return self._cut(guess=True)

    @cached_property
    def _dictionary(self) -> frozenset[tuple[int, int]]:
        return self._cut(guess=False)

    def _cut(self, *, guess: bool) -> frozenset[tuple[int, int]]:
        import rjieba

        places = []
        place = 0
        for word in rjieba.cut(self._text, guess):
            places.append((place, place + len(word)))
            place += len(word)
        return frozenset(places)
