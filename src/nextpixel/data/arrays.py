"""Images in numpy's files.

An npz file holds `train_images` and, where there are any, `validation_images`, `test_images` and their `*_labels`, the
images being called `train`, `validation` and `test` in some files; or `images` and `labels`; or a single array under
any name. A scalar `levels` is taken at its word. An npy file is one array of images. Nothing is unpickled.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

ARRAY_SUFFIXES = (".npz", ".npy")
MOST_LEVELS = 2**20
_MOST_CHANNELS = 4  # of an axis that is taken for the colours unasked
# What numpy lets through of the libraries below it.
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
_SPLITS = ("train", "validation", "test")


def read_arrays(path: Path, *, levels: int | None = None, ordinal: bool = True, layout: str | None = None) -> Parts:
    """Read the splits that a file has.

    Args:
        path: an npz or npy file; images of shape (N, H, W), (N, H, W, C) or (N, C, H, W), booleans or integers.
        levels: of all images. When None: the file's scalar `levels`; else 2 for booleans, 256 for uint8, and the
            greatest level plus one for other integers.
        ordinal: False when levels are names.
        layout: `NHWC` or `NCHW`; when None, the axis of 1 to 4 is the colours.

    Raises:
        BadInput: a damaged file, names or shapes that do not fit, values that are not integer levels.
    """
    if layout not in (None, "NHWC", "NCHW"):
        raise BadInput(f"layout must be NHWC or NCHW, not {layout!r}.")
    arrays = _load(path)
    if levels is None and "levels" in arrays:
        levels = _scalar(arrays["levels"], what=f"levels in {path}")
    named = _by_split(arrays, path)
    images = {
        split: _images(array, what=f"{name} in {path}", layout=layout) for split, (name, array, _) in named.items()
    }
    levels = _levels(images, levels, path)
    train = images["train"]
    for split, found in images.items():
        if found.shape[1:] != train.shape[1:]:
            raise BadInput(
                f"{path} has {split} images of shape {found.shape[1:]} and training images of shape {train.shape[1:]}."
            )
    labels = {
        split: None if given is None else _labels(given, what=f"labels of {name} in {path}", images=len(array))
        for split, (name, array, given) in named.items()
    }
    stored = np.min_scalar_type(levels - 1)
    splits = {split: Split(np.ascontiguousarray(found, stored), labels[split]) for split, found in images.items()}
    return Parts(
        ImageSpec(*train.shape[1:], levels=levels, ordinal=ordinal),
        _classes(labels, path),
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
    )


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file:  # numpy leaves the file open when it is damaged
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"images": found}
            members = {name: found[name] for name in found.files}
            return {name: member for name, member in members.items() if isinstance(member, np.ndarray)}
    except MemoryError as error:
        raise BadInput(f"{path} does not fit into memory ({error}).") from error
    except _DAMAGE as error:
        if "pickle" in str(error):  # numpy's guess at any content that it does not know
            raise BadInput(f"{path} holds no plain numpy arrays; Python objects are never loaded.") from error
        raise BadInput(f"{path} is damaged or cannot be read ({error}).") from error


def _by_split(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray | None]]:
    """Sort the arrays: for each split, the name of its images, the images, and their labels."""
    for ending in ("_images", ""):
        if f"train{ending}" in arrays:
            return {
                split: (f"{split}{ending}", arrays[f"{split}{ending}"], arrays.get(f"{split}_labels"))
                for split in _SPLITS
                if f"{split}{ending}" in arrays
            }
    if "images" in arrays:
        return {"train": ("images", arrays["images"], arrays.get("labels"))}
    others = [name for name in arrays if name != "levels"]
    if len(others) == 1:
        return {"train": (others[0], arrays[others[0]], None)}
    raise BadInput(f"{path} has no train_images, images or single array, but {', '.join(arrays) or 'nothing'}.")


def _images(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """Integers, shape (N, C, H, W)."""
    if array.dtype.kind not in "bui":
        nan = " with NaN among them" if array.dtype.kind in "fc" and bool(np.isnan(array).any()) else ""
        raise BadInput(f"{what} must be integer levels, not {array.dtype} values{nan}.")
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise BadInput(f"{what} must have shape (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}.")
    if array.ndim == 3:
        return array[:, None]
    first, last = (array.shape[axis] <= _MOST_CHANNELS for axis in (1, 3))
    if layout is None and first == last:
        which = "both the second and the last axis" if first else "neither the second nor the last axis"
        raise BadInput(f"{what} has shape {array.shape}, where {which} could be colours; say layout=NHWC or NCHW.")
    return np.moveaxis(array, 3, 1) if layout == "NHWC" or (layout is None and last) else array


def _levels(images: Mapping[str, np.ndarray], asked: int | None, path: Path) -> int:
    lowest = min(int(array.min()) for array in images.values())
    highest = max(int(array.max()) for array in images.values())
    kinds = {array.dtype for array in images.values()}
    if asked is not None:
        levels = asked
    elif kinds == {np.dtype(bool)}:
        levels = 2
    elif kinds <= {np.dtype(bool), np.dtype(np.uint8)}:
        levels = 256
    else:
        levels = max(highest + 1, 2)
    if isinstance(levels, bool) or not isinstance(levels, int) or not 2 <= levels <= MOST_LEVELS:
        raise BadInput(f"{path} must have from 2 to {MOST_LEVELS} levels, not {levels!r}.")
    if lowest < 0 or highest >= levels:
        bad = lowest if lowest < 0 else highest
        raise BadInput(f"{path} must hold levels in [0, {levels}); one is {bad}.")
    return levels


def _labels(array: np.ndarray, *, what: str, images: int) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "ui":
        raise BadInput(f"{what} must be integers, not {array.dtype} values.")
    if array.shape != (images,):
        raise BadInput(f"{what} must have shape ({images},), one for each image, not {array.shape}.")
    if array.min() < 0:
        raise BadInput(f"{what} must not be negative; one is {array.min()}.")
    return array.astype(np.int64)


def _classes(labels: Mapping[str, np.ndarray | None], path: Path) -> int | None:
    given = [array for array in labels.values() if array is not None]
    if not given:
        return None
    for split, array in labels.items():
        if array is None:
            raise BadInput(f"{path} has labels for other splits, but no {split}_labels.")
    return 1 + max(int(array.max()) for array in given)


def _scalar(array: np.ndarray, *, what: str) -> int:
    if array.shape not in ((), (1,)) or array.dtype.kind not in "ui":
        raise BadInput(f"{what} must be one whole number, not {array.dtype} values of shape {array.shape}.")
    return int(array.reshape(()))
