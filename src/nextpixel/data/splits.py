"""Cutting validation and test images off; splits that the source itself has keep their images and their order.

Named sets: the images are put in an order that depends only on how many there are, by a fixed seed. Test images are the
last of that order, validation images are those before them, and training images keep it.

Own data: each image has a number in [0, 2^64) that only its content decides (`contents`); test images are those in the
first tenth of all numbers, validation images those in the second. So copies are in one split, and what is added,
removed or renamed moves no other image, but that an empty split gets the image of the next number, with its copies.
"""

import itertools
from dataclasses import replace

import numpy as np

from nextpixel.data.dataset import DataSet, Parts
from nextpixel.errors import BadInput, whole

ORDER_SEED = 2016
BY_CONTENT = "a tenth each for validation and test, by a hash of each image"
_TENTH = 2**64 // 10


def cut(parts: Parts, name: str, *, validation: int, test: int) -> DataSet:
    """Complete the three splits of a named data set: cut so many images off where the source has no such split."""
    whole(validation, "validation", least=1)
    wanted = {"test": test, "validation": validation}
    counts = {split: count for split, count in wanted.items() if split not in parts.splits}
    if (images := len(parts.train)) <= sum(counts.values()):
        aside = f"{counts.get('validation', 0)} aside for validation and {counts.get('test', 0)} for test"
        raise BadInput(f"{name} has {images} training images, too few to set {aside}.")
    train, held_out = np.random.default_rng(ORDER_SEED).permutation(images), {}
    for split, count in counts.items():
        train, held_out[split] = np.split(train, [len(train) - count])
    rule = "by a fixed seed" if "test" in counts else "test as published, validation by a fixed seed"
    return _complete(parts, name, train=train, **held_out, rule=rule)


def cut_by_content(parts: Parts, name: str, *, validation: int | None = None) -> DataSet:
    """Complete the three splits of one's own data, by the rule above.

    As many validation images are cut as are asked for, those of the next numbers after the test images'; else a tenth.
    """
    if validation is not None:
        whole(validation, "validation", least=1)
        if parts.validation is not None:
            own = len(parts.validation)
            raise BadInput(f"{name} has {own} validation images of its own; validation={validation} cuts none.")
    numbers = {split: found.contents() for split, found in parts.splits.items()}
    both = {pair: int(np.isin(numbers[pair[1]], numbers[pair[0]]).sum()) for pair in itertools.combinations(numbers, 2)}
    copies = (f"{count} of {len(numbers[b])} {b} images are {a} images too" for (a, b), count in both.items() if count)
    parts = replace(parts, notes=(*parts.notes, *copies))
    missing = [split for split in ("test", "validation") if split not in parts.splits]
    if not missing:
        return _complete(parts, name, rule="as the source has them")
    places, different = numbers["train"], len(np.unique(numbers["train"]))
    train, held_out = np.argsort(places, kind="stable"), {}
    for left, split in zip((len(missing), 1), missing, strict=False):
        # The second tenth is for validation whether or not the first is for test.
        start, count = (0, None) if split == "test" else (_TENTH, validation)
        first = _first(places[train], start, count, left) if different > len(missing) else np.ones(len(train), bool)
        held_out[split], train = train[first], train[~first]
    if not len(train):
        raise BadInput(
            f"{name} has {different} different training images, too few to set {validation or 'a tenth'} aside for "
            f"validation{' and a tenth for test' if 'test' in missing else ''}, at least one each."
        )
    rule = BY_CONTENT if len(missing) == 2 else f"{missing[0]} images by a hash of each, a tenth"
    return _complete(parts, name, train=train, **held_out, rule=rule)


def _first(numbers: np.ndarray, start: int, count: int | None, left: int) -> np.ndarray:
    """Which numbers are the first from `start` on, round the circle of 2^64: a tenth of all possible ones, or `count`.

    Copies go together. Of a tenth, at least one is, and `left` different ones are not.
    """
    places = numbers - np.uint64(start)
    if count is not None:
        return places <= np.sort(places)[min(count, len(places)) - 1]
    different = np.unique(places)
    return places <= np.clip(np.uint64(_TENTH - 1), different[0], different[-1 - left])


def _complete(parts: Parts, name: str, *, rule: str, **cut: np.ndarray) -> DataSet:
    splits = parts.splits | {split: parts.train.take(indices) for split, indices in cut.items()}
    return DataSet(name, **{**vars(parts), **splits}, rule=rule)
