"""How many levels stored values mean, by their type and range; where that is not clear, the option `levels` decides.

- booleans, and whatever holds 0 and 1 alone: 2; a single value everywhere is refused: nothing can be learnt from it;
- bytes, as in most pictures: 256, if one is at least 64; darker ones are refused, as they may have fewer levels;
- 16 bits of grey: below 256 they are bytes that were stored wide; from 2**15 on their upper eight bits are taken; what
  lies between is of 10 to 15 bits, and refused;
- wider integers in arrays: the greatest plus one, but 256 where that is above 128 and below.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nextpixel.errors import BadInput

MOST_LEVELS = 2**20
_DARK, _WIDE = 64, 2**15
_AT_ONCE = 2**24  # values that are looked at


@dataclass(frozen=True)
class Levels:
    """What stored values mean."""

    count: int
    notes: tuple[str, ...] = ()  # for the user, where values were not simply taken
    shift: int = 0  # low bits that are dropped from values of 16 bits


_UPPER = Levels(256, ("16-bit pixels are reduced to their upper eight bits",), shift=8)


def find_levels(
    kind: str, lowest: int, highest: int, what: object, *, asked: int | None = None, like: int | None = None
) -> Levels:
    """Decide what values from `lowest` to `highest` mean.

    Args:
        kind: of arrays "boolean", "byte" or "integer" (wider), of pictures "picture" (8 bits) or "word" (16 bits).
        what: has them, for the sentences.
        asked: levels that the user or the file says.
        like: those of data that the images are read like, which decides what is not clear; a picture's are 8 bits even
            where those are fewer.
    """
    if asked is not None:
        return Levels(check_levels(asked, lowest, highest, what))
    if kind == "boolean":
        return Levels(2)
    if like is not None and lowest >= 0:
        fits = like <= 256 if kind in ("byte", "picture") else True  # 8 bits that are darker must be something else
        if highest < like and fits and (like >= 256 or highest <= 1 or kind in ("byte", "integer")):
            return Levels(like)
        if kind == "word" and highest >= _WIDE and like <= 256:
            return _UPPER
        if kind != "integer" and highest < 256:
            return Levels(256)
    if lowest == highest:
        raise BadInput(
            f"{what} must hold more than one level, not {highest} everywhere, unless data.levels=256 says so."
        )
    if lowest >= 0 and highest <= 1:
        return Levels(2, ("levels are 0 and 1, so two",))
    if kind == "integer":
        count = 256 if 128 <= highest < 256 else highest + 1
        check_levels(count, lowest, highest, what)
        return Levels(count, (f"levels are 0 to {highest}, taken as {count}",) if count > highest + 1 else ())
    if highest < _DARK or (kind == "word" and 256 <= highest < _WIDE):
        how = f"data.levels={highest + 1} if there are no more, data.levels=256 otherwise"
        if highest >= _DARK:
            full = f"data.levels={2 ** highest.bit_length()}"
            how = f"{full} to take them as they are (and data.bits=8 to keep eight bits of that)"
        raise BadInput(f"{what} must hold values of 8 or 16 bits, not 0 to {highest}, unless you say {how}.")
    if kind == "word" and highest < 256:
        return Levels(256, ("16-bit pixels that hold 0 to 255 are taken as 8-bit levels",))
    return _UPPER if kind == "word" else Levels(256)


def check_levels(levels: int, lowest: int, highest: int, what: object, *, named: str = "levels") -> int:
    """The number of levels, if it is one and all values are below it."""
    if isinstance(levels, bool) or not isinstance(levels, int) or not 2 <= levels <= MOST_LEVELS:
        raise BadInput(f"{what} must have from 2 to {MOST_LEVELS} {named}, not {levels!r}.")
    if lowest < 0 or highest >= levels:
        bad = lowest if lowest < 0 else highest
        hint = " (for black and white of 0 and 255 say data.bits=1 instead)" if (levels, highest) == (2, 255) else ""
        hint = hint or (" (of spins -1 and 1 store (x + 1) // 2)" if (lowest, highest) == (-1, 1) else "")
        raise BadInput(f"{what} must hold {named} in [0, {levels}); one is {bad}{hint}.")
    return levels


def find_range(arrays: Iterable[np.ndarray]) -> tuple[int, int]:
    """The lowest and the highest value, looked for in pieces: the arrays may be on disk."""
    found = set[int]()
    for array in arrays:
        step = max(1, _AT_ONCE // max(1, array[:1].size))
        for piece in (array[start : start + step] for start in range(0, len(array), step)):
            found |= {int(piece.min()), int(piece.max())}
    return min(found), max(found)
