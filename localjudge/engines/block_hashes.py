"""Hashes of cache blocks, remembered from prompt to prompt. vLLM names each block of a prompt by a hash over its tokens
and the name of the block before it, and works out all of them for every prompt. Reads of one record share nine tenths
of a long prompt: their names are known. Only the blocks behind the last common one are hashed, by vLLM's own function.
Knows lists of token ids, and nothing of vLLM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_LINES = 4
"""Prompts that are remembered, no two of them alike by half: reads and written answers of two packs."""

Hasher = Callable[[Any], list[Any]]
"""From a request of vLLM's to the names of its full blocks that are not in its `block_hashes` yet."""


class BlockHashes:
    """Does what `hasher` does, and asks it for less. Every request must be plain: token ids, no adapter, no salt.

    Where the hasher names other blocks than those of `block_size` tokens, nothing is remembered.
    """

    def __init__(self, hasher: Hasher, block_size: int) -> None:
        self._hasher = hasher
        self._size = block_size
        self._lines: list[_Line] = []
        """The latest last."""
        self._fits = True

    def __call__(self, request: Any) -> list[Any]:
        ids: Sequence[int] | None = request.prompt_token_ids
        # An answer grows: its blocks are hashed one by one as they fill.
        if not self._fits or ids is None or request.num_tokens != len(ids) or request.block_hashes:
            return self._hasher(request)
        line, shared = self._closest(ids)
        known = line.hashes[:shared] if line else []
        # The request takes what is returned behind what it has.
        request.block_hashes.extend(known)
        fresh = self._hasher(request)
        self._fits = len(known) + len(fresh) == len(ids) // self._size
        if line and 2 * shared >= len(line.hashes):
            self._lines.remove(line)
        self._lines = [*self._lines[1 - _LINES :], _Line(ids, known + fresh, shared)]
        return fresh

    def _closest(self, ids: Sequence[int]) -> tuple[_Line | None, int]:
        best, most = None, 0
        for line in reversed(self._lines):
            shared = line.shared(ids, self._size)
            if shared > most:
                best, most = line, shared
                if shared >= line.likely > 0:
                    break
        return best, most


class _Line:
    """A prompt and the names of its blocks."""

    def __init__(self, ids: Sequence[int], hashes: list[Any], shared: int) -> None:
        self._ids = ids
        self.hashes = hashes
        self.likely = shared
        """Blocks that it shared with the one before it, and so most likely with the next."""

    def shared(self, ids: Sequence[int], size: int) -> int:
        """How many whole blocks begin both."""
        low, high = 0, min(len(self.hashes), len(ids) // size)
        place = min(self.likely, high)
        while low < high:
            if self._ids[low * size : place * size] == ids[low * size : place * size]:
                low = place
                place = low + 1
            else:
                high = place - 1
                place = (low + high + 1) // 2
        return low
