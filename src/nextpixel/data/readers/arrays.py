"""Images in numpy's files, and in whatever else gives arrays with names.

An npz file holds images and, where there are any, labels and maps of each split, under the usual names: `train_images`,
`x_train`, `val_images`, `y_test`, `test` …; or `images` and `labels` (`x`, `y`, `data`, `targets`); or a single array
under any name. Maps are for a model with a `Map` context. `class_names`, and the scalars `levels`, `map_levels` and
`ordinal` (false where levels are names), are taken at their word; other arrays are left alone, and named in a note. An
npy file is one array of images. What is larger than 1 GiB is mapped, not read. Nothing is unpickled.
"""

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.data.dataset import MapKind, Parts, Split
from nextpixel.data.lazy import Images, change
from nextpixel.data.readers.depth import MOST_LEVELS, depth
from nextpixel.data.readers.labels import labels_of, one_each
from nextpixel.data.readers.mapped import map_array
from nextpixel.data.readers.naming import SCALARS, Named, by_split
from nextpixel.data.readers.options import UNSAID, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

MOST_IN_MEMORY = 2**30  # bytes of an array
_MOST_PACKED = 200  # times that a large array may be packed: numbers that are not nearly all alike are not
_MOST_CHANNELS = 4  # of an axis that is taken for the colours unasked
# What numpy lets through of the libraries below it.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    KeyError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read_arrays(path: Path, options: Options = UNSAID) -> Parts:
    """Read the splits that a file has.

    Args:
        path: an npz or npy file.
        options: what the user says of it.

    Raises:
        BadInput: as `parts_of`, or a damaged file.
    """
    return parts_of(_load(path), path, options)


def parts_of(arrays: Mapping[str, np.ndarray], path: Path, options: Options = UNSAID) -> Parts:
    """Make splits of arrays with names.

    Args:
        arrays: images of shape (N, H, W), (N, H, W, C), (N, C, H, W) or (N, D), booleans or integers; labels of shape
            (N,), (N, 1) or, with a single 1 in each row, (N, K), whole numbers or texts; maps; scalars.
        path: how sentences call the source.
        options: what the user says of it.

    Raises:
        BadInput: names or shapes that do not fit or could mean two things, values that are not integer levels, maps
            that are neither codes nor finite numbers.
    """
    named, notes = by_split(arrays, path, options)
    layout = options.layout
    images = {
        split: _images(found.images, what=f"{found.name} in {path}", layout=layout) for split, found in named.items()
    }
    train = images["train"]
    for split, found in images.items():
        if found.shape[1:] != train.shape[1:]:
            raise BadInput(
                f"{path} has {split} images of shape {found.shape[1:]} and training images of shape {train.shape[1:]}."
            )
    labels, classes, class_names = labels_of(named, arrays.get("class_names"), path, options)
    maps, kind = _maps(named, _scalar(arrays, "map_levels", path), path, layout)
    levels, note = _levels(images, _stated(arrays, path, options), path)
    fitted = {split: _fitted(found, levels, options, path=path) for split, found in images.items()}
    splits = {split: Split(found, labels[split], maps=maps.get(split)) for split, found in fitted.items()}
    return Parts(
        ImageSpec(*fitted["train"][:1].shape[1:], levels=levels, ordinal=options.ordinal and _is_ordinal(arrays, path)),
        classes,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        maps=kind,
        class_names=class_names,
        notes=(*notes, *([note] if note else [])),
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
    others = [name for name in arrays if name not in SCALARS]
    name = next((name for name in ("images", "maps") if name in arrays), others[0] if len(others) == 1 else None)
    if name is None:
        raise BadInput(f"{path} has no images, maps or single array, but {', '.join(arrays) or 'nothing'}.")
    array = arrays[name]
    layout = "NHWC" if array.ndim == 4 and array.shape[1] != size == array.shape[3] else "NCHW"
    maps = _codes_or_numbers(array, what=f"{name} in {path}", layout=layout)
    labels = arrays.get("labels")
    return maps, None if labels is None else one_each(labels, what=f"labels in {path}", images=len(maps)).astype(
        np.int64
    )


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; large ones are mapped."""
    try:
        with path.open("rb") as file:  # numpy leaves the file open when it is damaged
            large = path.suffix.lower() == ".npy" and path.stat().st_size > MOST_IN_MEMORY
            found = np.load(path if large else file, mmap_mode="r" if large else None, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"images": found}
            assert found.zip is not None
            sizes = {member.filename.removesuffix(".npy"): member for member in found.zip.infolist()}
            members = {name: _member(path, found, name, sizes[name]) for name in found.files if name in sizes}
            return {name: member for name, member in members.items() if isinstance(member, np.ndarray)}
    except MemoryError as error:
        raise BadInput(f"{path} does not fit into memory ({error}).") from error
    except BadInput:
        raise
    except _DAMAGE as error:
        if "pickle" in str(error):  # numpy's guess at any content that it does not know
            raise BadInput(f"{path} holds no plain numpy arrays; Python objects are never loaded.") from error
        raise BadInput(f"{path} is damaged or cannot be read ({error}).") from error


def _member(path: Path, archive: Mapping[str, Any], name: str, member: zipfile.ZipInfo) -> Any:
    if member.file_size <= MOST_IN_MEMORY:
        return archive[name]
    if member.file_size > _MOST_PACKED * max(1, member.compress_size):
        packed = f"{member.file_size:,} bytes of {name} into {member.compress_size:,}"
        raise BadInput(f"{path} packs {packed}, as no images do.")
    return map_array(path, name)


def _images(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """Integers, shape (N, C, H, W)."""
    if array.dtype.kind not in "bui":
        nan = " with NaN among them" if array.dtype.kind in "fc" and bool(np.isnan(array).any()) else ""
        raise BadInput(
            f"{what} must be integer levels, not {array.dtype} values{nan}; numbers x from 0 to 1 become levels by "
            "(255 * x).round().astype('uint8')."
        )
    return _laid_out(array, what=what, layout=layout)


def _laid_out(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """The same with its axes in our order, shape (N, C, H, W)."""
    if array.ndim == 2 and array.size:
        array = _unflattened(array, what=what, layout=layout)
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise BadInput(f"{what} must have shape (N, H, W), (N, H, W, C), (N, C, H, W) or (N, D), not {array.shape}.")
    if array.ndim == 3:
        return array[:, None]
    seen = _layout(array, layout)
    if seen is None:
        which = (
            "both the second and the last" if array.shape[1] <= _MOST_CHANNELS else "neither the second nor the last"
        )
        raise BadInput(f"{what} has shape {array.shape}, where {which} axis could be colours; say layout=NHWC or NCHW.")
    return np.moveaxis(array, 3, 1) if seen == "NHWC" else array


def _unflattened(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """Rows of numbers as square images: grey, or in colour where `layout` says how they lie."""
    count, size = array.shape
    side, colour = math.isqrt(size), math.isqrt(size // 3)
    if side**2 == size:
        return array.reshape(count, side, side)
    if 3 * colour**2 != size:
        raise BadInput(f"{what} has rows of {size} numbers, no square image; reshape it to (N, H, W) or (N, C, H, W).")
    if layout is None:
        raise BadInput(f"{what} has rows of 3·{colour}·{colour} numbers; say layout=NCHW (colour by colour) or NHWC.")
    return array.reshape(count, 3, colour, colour) if layout == "NCHW" else array.reshape(count, colour, colour, 3)


def _layout(array: np.ndarray, asked: str | None) -> str | None:
    """What was asked for, else what the axis of 1 to 4 says; None where that is not clear."""
    if asked is not None or array.ndim != 4:
        return asked
    first, last = (array.shape[axis] <= _MOST_CHANNELS for axis in (1, 3))
    return None if first == last else "NCHW" if first else "NHWC"


def _levels(images: Mapping[str, np.ndarray], options: Options, path: Path) -> tuple[int, str | None]:
    """How many levels the images of all splits have, and what to say of it."""
    low = min(int(array.min()) for array in images.values())
    high = max(int(array.max()) for array in images.values())
    widest = max((array.dtype for array in images.values()), key=lambda dtype: (dtype.kind != "b", dtype.itemsize))
    found = depth(low, high, widest, options, f"{path}")
    return found.levels, found.note


def _stated(arrays: Mapping[str, np.ndarray], path: Path, options: Options) -> Options:
    """What the user says of the levels, or else the file."""
    levels = options.levels if options.levels is not None else _scalar(arrays, "levels", path)
    return replace(options, levels=levels, ordinal=options.ordinal and _is_ordinal(arrays, path))


def _fitted(images: np.ndarray, levels: int, options: Options, *, path: Path) -> Images:
    """The images as the user wants them, in the smallest dtype; mapped ones when they are read."""
    stored, fitting = np.min_scalar_type(levels - 1), options.fitting
    if fitting.size is None and fitting.channels is None:
        return change(images, lambda some: np.ascontiguousarray(some, stored))
    if fitting.fit == "tiles":
        raise BadInput(f"fit=tiles is for pictures in files; {path} holds arrays.")
    return change(images, lambda some: np.concatenate([fitting(image.astype(stored)) for image in some]))


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
    named: Mapping[str, Named], levels: int | None, path: Path, layout: str | None
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
