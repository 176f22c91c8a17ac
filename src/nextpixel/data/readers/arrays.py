"""Images in numpy's files.

An npz file holds `train_images` and, where there are any, `validation_images`, `test_images` and their `*_labels`, the
images being called `train`, `validation` and `test` in some files; or `images` and `labels`; or a single array under
any name. Maps for a model with a `Map` context stand beside them: `train_maps`, `validation_maps` and `test_maps`; or
`maps` beside `images`. The scalars `levels`, `map_levels` and `ordinal` (false where levels are names) are taken at
their word, other arrays beside named ones are left alone. An npy file is one array of images. Nothing is unpickled.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import MapKind, Parts, Split
from nextpixel.data.readers.options import UNSAID, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

MOST_LEVELS = 2**20
_MOST_CHANNELS = 4  # of an axis that is taken for the colours unasked
# What numpy lets through of the libraries below it.
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
_SPLITS = ("train", "validation", "test")
_SCALARS = ("levels", "map_levels", "ordinal")


def read_arrays(path: Path, options: Options = UNSAID) -> Parts:
    """Read the splits that a file has.

    Args:
        path: an npz or npy file; images of shape (N, H, W), (N, H, W, C) or (N, C, H, W), booleans or integers.
        options: levels, when None: the file's scalar `levels`; else 2 for booleans, 256 for uint8, and the greatest
            level plus one for other integers. ordinal: False when levels are names; when True, the file's scalar
            `ordinal` may still say so. layout: `NHWC` or `NCHW`; when None, the axis of 1 to 4 is the colours. Maps of
            which that is true of both or neither follow the images.

    Raises:
        BadInput: a damaged file, names or shapes that do not fit, values that are not integer levels, maps that are
            neither codes nor finite numbers.
    """
    arrays, layout = _load(path), options.layout
    levels = _scalar(arrays, "levels", path) if options.levels is None else options.levels
    named = _by_split(arrays, path)
    images = {
        split: _images(found.images, what=f"{found.name} in {path}", layout=layout) for split, found in named.items()
    }
    levels = _levels(images, levels, path)
    train = images["train"]
    for split, found in images.items():
        if found.shape[1:] != train.shape[1:]:
            raise BadInput(
                f"{path} has {split} images of shape {found.shape[1:]} and training images of shape {train.shape[1:]}."
            )
    labels = {
        split: None
        if found.labels is None
        else _labels(found.labels, what=f"labels of {found.name} in {path}", images=len(found.images))
        for split, found in named.items()
    }
    maps, kind = _maps(named, _scalar(arrays, "map_levels", path), path, layout)
    stored = np.min_scalar_type(levels - 1)
    splits = {
        split: Split(np.ascontiguousarray(found, stored), labels[split], maps=maps.get(split))
        for split, found in images.items()
    }
    return Parts(
        ImageSpec(*train.shape[1:], levels=levels, ordinal=options.ordinal and _is_ordinal(arrays, path)),
        _classes(labels, path),
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        maps=kind,
    )


def read_maps(path: Path, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Read maps without images of their own, such as the samples of a model of coarser codes.

    Args:
        path: an npz file with an array `images` or `maps`, or a single one under any name; or an npy file.
        size: codes or numbers at each place (d).

    Returns:
        Integers or float32 numbers, shape (N, d, h, w); and the array `labels`, shape (N,), or None.

    Raises:
        BadInput: a damaged file, no such array, or one that is no maps of this size.
    """
    arrays = _load(path)
    others = [name for name in arrays if name not in _SCALARS]
    name = next((name for name in ("images", "maps") if name in arrays), others[0] if len(others) == 1 else None)
    if name is None:
        raise BadInput(f"{path} has no images, maps or single array, but {', '.join(arrays) or 'nothing'}.")
    array = arrays[name]
    layout = "NHWC" if array.ndim == 4 and array.shape[1] != size == array.shape[3] else "NCHW"
    maps = _codes_or_numbers(array, what=f"{name} in {path}", layout=layout)
    labels = arrays.get("labels")
    return maps, None if labels is None else _labels(labels, what=f"labels in {path}", images=len(maps))


@dataclass(frozen=True)
class _Named:
    """What a file has of a split; the name is that of the images."""

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    maps: np.ndarray | None = None


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


def _by_split(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, _Named]:
    """Sort the arrays."""
    for ending in ("_images", ""):
        if f"train{ending}" in arrays:
            return {
                split: _Named(
                    f"{split}{ending}",
                    arrays[f"{split}{ending}"],
                    arrays.get(f"{split}_labels"),
                    arrays.get(f"{split}_maps"),
                )
                for split in _SPLITS
                if f"{split}{ending}" in arrays
            }
    if "images" in arrays:
        return {"train": _Named("images", arrays["images"], arrays.get("labels"), arrays.get("maps"))}
    others = [name for name in arrays if name not in _SCALARS]
    if len(others) == 1:
        return {"train": _Named(others[0], arrays[others[0]])}
    raise BadInput(f"{path} has no train_images, images or single array, but {', '.join(arrays) or 'nothing'}.")


def _images(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """Integers, shape (N, C, H, W)."""
    if array.dtype.kind not in "bui":
        nan = " with NaN among them" if array.dtype.kind in "fc" and bool(np.isnan(array).any()) else ""
        raise BadInput(f"{what} must be integer levels, not {array.dtype} values{nan}.")
    return _laid_out(array, what=what, layout=layout)


def _laid_out(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """The same with its axes in our order, shape (N, C, H, W)."""
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise BadInput(f"{what} must have shape (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}.")
    if array.ndim == 3:
        return array[:, None]
    seen = _layout(array, layout)
    if seen is None:
        which = (
            "both the second and the last" if array.shape[1] <= _MOST_CHANNELS else "neither the second nor the last"
        )
        raise BadInput(f"{what} has shape {array.shape}, where {which} axis could be colours; say layout=NHWC or NCHW.")
    return np.moveaxis(array, 3, 1) if seen == "NHWC" else array


def _layout(array: np.ndarray, asked: str | None) -> str | None:
    """What was asked for, else what the axis of 1 to 4 says; None where that is not clear."""
    if asked is not None or array.ndim != 4:
        return asked
    first, last = (array.shape[axis] <= _MOST_CHANNELS for axis in (1, 3))
    return None if first == last else "NCHW" if first else "NHWC"


def _levels(images: Mapping[str, np.ndarray], asked: int | None, path: Path) -> int:
    kinds = {array.dtype for array in images.values()}
    if asked is not None:
        levels = asked
    elif kinds == {np.dtype(bool)}:
        levels = 2
    elif kinds <= {np.dtype(bool), np.dtype(np.uint8)}:
        levels = 256
    else:
        levels = _counted(images)
    return _checked(levels, images, path, what="levels")


def _counted(arrays: Mapping[str, np.ndarray]) -> int:
    return max(2, 1 + max(int(array.max()) for array in arrays.values()))


def _checked(levels: int, arrays: Mapping[str, np.ndarray], path: Path, *, what: str) -> int:
    """The number of levels, if it is one and all values of the arrays are below it."""
    if isinstance(levels, bool) or not isinstance(levels, int) or not 2 <= levels <= MOST_LEVELS:
        raise BadInput(f"{path} must have from 2 to {MOST_LEVELS} {what}, not {levels!r}.")
    lowest = min(int(array.min()) for array in arrays.values())
    highest = max(int(array.max()) for array in arrays.values())
    if lowest < 0 or highest >= levels:
        bad = lowest if lowest < 0 else highest
        raise BadInput(f"{path} must hold {what} in [0, {levels}); one is {bad}.")
    return levels


def _maps(
    named: Mapping[str, _Named], levels: int | None, path: Path, layout: str | None
) -> tuple[dict[str, np.ndarray], MapKind | None]:
    """The maps of each split, shape (N, d, h, w), and what they are; none and None where the file has none."""
    maps: dict[str, np.ndarray] = {}
    for split, found in named.items():
        if found.maps is not None:
            what = f"maps of {found.name} in {path}"
            seen = _layout(found.maps, layout) or _layout(found.images, layout)
            maps[split] = _codes_or_numbers(found.maps, what=what, layout=seen)
            if len(found.maps) != len(found.images):
                raise BadInput(f"{what} must be {len(found.images)}, one for each image, not {len(found.maps)}.")
    if not maps:
        return maps, None
    for split in named:
        if split not in maps:
            raise BadInput(f"{path} has maps for other splits, but no {split}_maps.")
    train = maps["train"]
    are_numbers = train.dtype.kind == "f"
    for split, array in maps.items():
        if array.shape[1:] != train.shape[1:]:
            raise BadInput(
                f"{path} has {split} maps of shape {array.shape[1:]} and training maps of shape {train.shape[1:]}."
            )
        if (array.dtype.kind == "f") != are_numbers:
            raise BadInput(f"{path} has {split} maps of {array.dtype} and training maps of {train.dtype} values.")
    if are_numbers:
        if levels is not None:
            raise BadInput(f"{path} has map_levels={levels}, but its maps are numbers, not integer codes.")
        return maps, MapKind(train.shape[1])
    levels = _checked(_counted(maps) if levels is None else levels, maps, path, what="codes of maps")
    stored = np.min_scalar_type(levels - 1)
    return {split: array.astype(stored) for split, array in maps.items()}, MapKind(train.shape[1], levels)


def _codes_or_numbers(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """Integers, or finite float32 numbers, shape (N, d, h, w)."""
    if array.dtype.kind not in "buif":
        raise BadInput(f"{what} must be integer codes or floating-point numbers, not {array.dtype} values.")
    array = _laid_out(array, what=what, layout=layout)
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BadInput(f"{what} must be finite numbers; one is {array[~np.isfinite(numbers)][0]}.")
    return numbers


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


def _scalar(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> int | None:
    if name not in arrays:
        return None
    array = arrays[name]
    if array.shape not in ((), (1,)) or array.dtype.kind not in "ui":
        raise BadInput(f"{name} in {path} must be one whole number, not {array.dtype} values of shape {array.shape}.")
    return int(array.reshape(()))


def _is_ordinal(arrays: Mapping[str, np.ndarray], path: Path) -> bool:
    """What the file says of its levels; that they are in order, if it says nothing."""
    array = arrays.get("ordinal", np.array(True))
    if array.shape not in ((), (1,)) or array.dtype != bool:
        raise BadInput(f"ordinal in {path} must be true or false, not {array.dtype} values of shape {array.shape}.")
    return bool(array.reshape(()))
