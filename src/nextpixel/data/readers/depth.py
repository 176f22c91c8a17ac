"""How many levels integers mean, by the range that is there; what is not clear is asked for.

- booleans, and bytes that are all 0 or 1: 2 levels;
- bytes that go beyond 63: 256; up to 63 they may be few levels or dark images, so that `levels` must say, unless they
  are names;
- wider integers: as many as the greatest and 0 need; 256 if it is between 128 and 255, unless they are names;
- 16-bit pixels of pictures: below 256 they are 8-bit levels; from 2^15 on the upper eight bits are taken;
  between (10, 12 bits) `levels` must say.

For a model, its own number of levels decides what is not clear.
"""

from dataclasses import dataclass

import numpy as np

from nextpixel.data.readers.options import Options
from nextpixel.errors import BadInput

MOST_LEVELS = 2**20
_DARK = 64  # bytes below it alone do not say how many levels there are


@dataclass(frozen=True)
class Depth:
    """What integers mean.

    Args:
        levels: how many there are.
        shift: bits to drop first.
        note: what was decided, where it could be otherwise.
    """

    levels: int
    shift: int = 0
    note: str | None = None


def depth(low: int, high: int, dtype: np.dtype, options: Options, what: str, *, pictures: bool = False) -> Depth:
    """The levels of integers from `low` to `high`.

    Args:
        low: the least that is there.
        high: the greatest.
        dtype: in which they are stored.
        options: what the user says of them.
        what: how a sentence calls them.
        pictures: whether they are pixels of files that hold 8 or 16 bits.

    Raises:
        BadInput: they do not fit what the user says, or nothing says it.
    """
    asked = options.levels
    if asked is not None and (isinstance(asked, bool) or not isinstance(asked, int) or not 2 <= asked <= MOST_LEVELS):
        raise BadInput(f"{what} must have from 2 to {MOST_LEVELS} levels, not {asked!r}.")
    if low < 0 or (asked is not None and high >= asked):
        limit = MOST_LEVELS if asked is None else asked
        raise BadInput(f"{what} must hold levels in [0, {limit}); one is {low if low < 0 else high}.")
    if asked is not None:
        return Depth(asked)
    if dtype.kind == "b":
        return Depth(2)
    if high >= MOST_LEVELS:
        raise BadInput(f"{what} must hold levels in [0, {MOST_LEVELS}); one is {high}.")
    found = _by_range(high, dtype, options, pictures=pictures)
    if found is None:
        choices = dict.fromkeys((high + 1, 1 << high.bit_length(), 2 ** (8 * dtype.itemsize)))
        raise BadInput(
            f"{what} goes from {low} to {high}, which does not say how many levels there are; "
            f"give data.levels ({', '.join(map(str, choices))})."
        )
    return found


def _by_range(high: int, dtype: np.dtype, options: Options, *, pictures: bool) -> Depth | None:
    like, wide = options.like, dtype != np.uint8
    if pictures and wide and high >= 2**15 and (like is None or like <= 256):
        return Depth(256, 8, "of 16-bit pixels the upper eight bits are taken")
    if like is not None:
        if high < like and (like == 2 or not pictures or like >= 256):
            return Depth(like)
        return Depth(256) if high < 256 else None
    if high <= 1:
        return Depth(2, 0, "all levels are 0 or 1, so there are two")
    if pictures and wide:
        return Depth(256, 0, f"16-bit pixels up to {high} are taken as 8-bit levels") if high < 256 else None
    if not wide and high >= _DARK:
        return Depth(256)
    if not wide and options.ordinal:
        return None
    return Depth(256 if options.ordinal and 128 <= high < 256 else high + 1)
