"""Labels of arrays: whole numbers from 0 or from a stated first one, texts, or a single 1 in each row."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nextpixel.data.readers.naming import Named
from nextpixel.data.readers.options import Options
from nextpixel.errors import BadInput, whole

MOST_CLASSES = 2**16


def labels_of(
    named: Mapping[str, Named], names: np.ndarray | None, path: Path, options: Options
) -> tuple[dict[str, np.ndarray | None], int | None, tuple[str, ...] | None]:
    """Labels from 0 of each split, how many classes there are, and their names where there are any."""
    given = {split: found.labels for split, found in named.items()}
    if all(array is None for array in given.values()):
        options.refuse(f"{path}, which has no labels", "first_label")
        return given, None, None
    labels: dict[str, np.ndarray] = {}
    for split, array in given.items():
        if array is None:
            raise BadInput(f"{path} has labels for other splits, but no {split}_labels.")
        what = f"labels of {named[split].name} in {path}"
        labels[split] = one_each(array, what=what, images=len(named[split].images))
    texts = {array.dtype.kind == "U" for array in labels.values()}
    if len(texts) > 1:
        raise BadInput(f"{path} has labels that are texts in one split and numbers in another.")
    if texts == {True}:
        called = np.unique(np.concatenate(list(labels.values())))
        return {s: np.searchsorted(called, array) for s, array in labels.items()}, len(called), tuple(called.tolist())
    low, high = (int(f(np.concatenate(list(labels.values())))) for f in (np.min, np.max))
    first = options.first_label
    if first is not None:
        whole(first, "first_label", least=0)
    elif low > 0:
        raise BadInput(
            f"{path} has labels from {low} to {high}, and none is 0: give data.first_label={low} if that is the first "
            "class, or 0 if class 0 merely has no images."
        )
    first = first or 0
    if low < first:
        raise BadInput(f"{path} must have labels from {first} on; one is {low}.")
    classes = high - first + 1
    called = None if first == 0 else tuple(map(str, range(first, high + 1)))
    if names is not None:
        called = tuple(map(str, np.atleast_1d(names).tolist()))
        if len(called) < classes or len(set(called)) < len(called):
            raise BadInput(f"{path} has {len(called)} class_names, all of which must differ, for {classes} classes.")
        classes = len(called)
    if classes > MOST_CLASSES:
        raise BadInput(f"{path} has the label {high}; there are {MOST_CLASSES} classes at the most.")
    return {s: array - first for s, array in labels.items()}, classes, called


def one_each(array: np.ndarray, *, what: str, images: int) -> np.ndarray:
    """Whole numbers of at least 0, or texts, shape (N,)."""
    if array.ndim == 2 and array.shape[1] > 1 and len(array) == images:
        ones = array.astype(bool)
        if not ((array == ones).all() and (ones.sum(1) == 1).all()):
            raise BadInput(f"{what} has shape {array.shape}, but its rows do not have one 1 each, and zeros.")
        array = ones.argmax(1)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "f" and bool((np.isfinite(array) & (array == np.floor(array))).all()):
        array = array.clip(-1, 2.0**62).astype(np.int64)
    if array.dtype.kind not in "buiU":
        raise BadInput(f"{what} must be integers or texts, not {array.dtype} values.")
    if array.shape != (images,):
        raise BadInput(f"{what} must have shape ({images},), one for each image, not {array.shape}.")
    if array.dtype.kind != "U" and array.min() < 0:
        raise BadInput(f"{what} must not be negative; one is {array.min()}.")
    if array.dtype.kind != "U" and array.max() >= 2**62:
        raise BadInput(f"{what} must be numbers of classes; one is {array.max()}.")
    return array if array.dtype.kind == "U" else array.astype(np.int64)
