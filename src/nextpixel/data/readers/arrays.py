"""Images in arrays that have names, whatever file holds them.

The name of an array is read word by word, in any order and with any signs between: a word for the split (`train`,
`val`, …), one for what it holds (`images`, `x`, …; `labels`, `y`, …; `maps`; images when none says it). So
`train_images`, `x_train` and `train` are the training images. Words that all names share say nothing. Without splits
there are `images`, or a single array under any name. Maps for a model with a `Map` context stand beside them. The
scalars `levels`, `map_levels` and `ordinal` (false where levels are names) are taken at their word, `class_names` are
strings, and other arrays are left alone, unless they look like a split.
"""

import math
import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.data.dataset import MapKind, Parts, Split
from nextpixel.data.lazy import change
from nextpixel.data.readers.levels import check_levels, find_levels, find_range
from nextpixel.data.readers.mapped import load_arrays
from nextpixel.data.readers.options import SPLIT_OF, SPLITS, UNSAID, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

MOST_CLASSES = 10_000  # that may be more than there are images
_MOST_CHANNELS = 4  # of an axis that is taken for the colours unasked
_ROLES = {
    "labels": ("label", "labels", "y", "target", "targets"),
    "maps": ("map", "maps"),
    "images": ("image", "images", "img", "imgs", "x", "data", "input", "inputs", "pixels", "set", "dataset"),
}  # in this order, for names such as `image_labels`
_ROLE_OF = {word: role for role, words in _ROLES.items() for word in words}
_SCALARS = ("levels", "map_levels", "ordinal", "first_label")
_NAMES = ("class_names", "classes", "label_names")
_ASIDE = ("given", "known")  # in what `complete` writes
_WORD = re.compile(r"t10k|[xXyY](?=[tT]rain|[tT]est|[vV]al)|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def arrange(arrays: Mapping[str, np.ndarray], path: Path, options: Options = UNSAID) -> Parts:
    """Make splits of arrays.

    Args:
        arrays: by their names; images of shape (N, H, W), (N, H, W, C), (N, C, H, W) or rows (N, D); booleans or
            integers.
        options: as `open_data` has them. Without a layout the axis of 1 to 4 is the colours; maps of which that is true
            of both or neither follow the images. Labels and maps of `splits` have the words of their images beside.
    """
    layout, like = options.layout, options.like
    named, notes = _by_split(arrays, path, options.splits)
    stored = {role: {split: arrays[name] for split, name in names.items()} for role, names in named.items()}
    what = {split: f"{name} in {path}" for split, name in named["images"].items()}
    if layout is None and any(_layout(found, None) is None for found in stored["images"].values()):
        layout = like.get("layout")
    images = {split: _images(found, what=what[split], layout=layout) for split, found in stored["images"].items()}
    _check_shapes(images, "images", path)
    kinds = {array.dtype.char for array in images.values()}
    kind = "boolean" if kinds == {"?"} else "byte" if kinds <= {"?", "B"} else "integer"
    asked = _scalar(arrays, "levels", path) if options.levels is None else options.levels
    levels = find_levels(kind, *find_range(images.values()), path, asked=asked, like=like.get("levels"))
    counts = {split: len(found) for split, found in images.items()}
    first = _scalar(arrays, "first_label", path) if options.first_label is None else options.first_label
    first = like.get("first_label") if first is None else first
    labels, classes, names = number_labels(stored["labels"], counts, _class_names(arrays, path), first, path)
    maps = {}
    for split, found in stored["maps"].items():
        seen = _layout(found, layout) or _layout(stored["images"][split], layout)
        maps[split] = _codes_or_numbers(found, what=f"maps of {what[split]}", images=counts[split], layout=seen)
    maps, map_kind = _understood_maps(maps, _scalar(arrays, "map_levels", path), path)
    kept = partial(_stored, dtype=np.min_scalar_type(levels.count - 1), options=options, path=path)
    splits: dict[str, Any] = {
        split: Split(change(found, kept), labels.get(split), maps=maps.get(split)) for split, found in images.items()
    }
    ordinal = options.ordinal and _scalar(arrays, "ordinal", path, "b", "true or false") is not False
    spec = ImageSpec(*splits["train"].images[:1].shape[1:], levels=levels.count, ordinal=ordinal)
    return Parts(spec, classes, **splits, maps=map_kind, class_names=names, notes=(*levels.notes, *notes))


def _stored(images: np.ndarray, *, dtype: np.dtype, options: Options, path: Path) -> np.ndarray:
    """Images as the user wants them, in the smallest dtype."""
    if options.size is None and options.channels is None:
        return np.ascontiguousarray(images, dtype)
    if options.fit == "tiles":
        raise BadInput(f"fit=tiles is for pictures in files; {path} holds arrays.")
    return np.concatenate([options.fitted(image.astype(dtype)) for image in images])


def read_maps(path: Path, size: int, spec: ImageSpec | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Read maps without images of their own, such as the samples of a model of coarser codes, of d numbers a place.

    They are an array `images` or `maps`, or a single one under any name: integers or float32 numbers, (N, d, h, w). The
    array `labels`, (N,), or None stands beside them. Of both, `images` of the shape of `spec` are no maps.
    """
    arrays = load_arrays(path)
    others = [name for name in arrays if name not in _SCALARS]
    name = next((name for name in ("images", "maps") if name in arrays), others[0] if len(others) == 1 else "")
    if spec is not None and {"images", "maps"} <= arrays.keys() and has_images_of(arrays["images"], spec):
        name = "maps"
    if not name:
        raise BadInput(f"{path} has no images, maps or single array, but {', '.join(arrays) or 'nothing'}.")
    array, labels = arrays[name], arrays.get("labels")
    layout = "NHWC" if array.ndim == 4 and array.shape[1] != size == array.shape[3] else "NCHW"
    maps = _codes_or_numbers(array, what=f"{name} in {path}", layout=layout)
    return maps, None if labels is None else whole_numbers(labels, what=f"labels in {path}", images=len(maps))


def has_images_of(array: np.ndarray, spec: ImageSpec) -> bool:
    """Whether images have that shape, in any layout."""
    channels, *grid = spec.shape
    return [*array.shape[1:]] in ([channels, *grid], [*grid, channels], grid if channels == 1 else None)


def _understood(names: Collection[str]) -> dict[str, tuple[str, frozenset[str]]]:
    """What each array holds, and which other words its name has; those for a split are brought to one."""
    words = {name: [word.lower() for word in _WORD.findall(name)] for name in names}
    shared = frozenset.intersection(*map(frozenset, words.values())) if len(words) > 1 else frozenset()
    found = {}
    for name, some in words.items():
        roles = {_ROLE_OF[word] for word in some if word in _ROLE_OF}
        rest = {SPLIT_OF.get(word, word) for word in some if word in SPLIT_OF or word not in shared}
        found[name] = next((role for role in _ROLES if role in roles), "images"), frozenset(rest - _ROLE_OF.keys())
    return found


def _by_split(
    arrays: Mapping[str, np.ndarray], path: Path, asked: Mapping[str, str] | None
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The names of the images, labels and maps of each split, by role; what is left alone is told by a note."""
    arrays = {name: array for name, array in arrays.items() if name not in (*_SCALARS, *_NAMES) and array.ndim}

    def unclear(what: str) -> BadInput:
        there_are = ", ".join(arrays) or "nothing"
        how = "data.splits={train: NAME, test: NAME} says which array of images is what"
        return BadInput(f"{path} has {what}, but {there_are}; {how}.")

    understood = _understood(arrays)
    stems = {stem for role, stem in understood.values() if role == "images"}
    wanted = {split: frozenset({split}) for split in SPLITS if frozenset({split}) in stems}
    if asked:
        if other := next((name for name in asked.values() if name not in arrays), None):
            raise unclear(f"no array {other}")
        wanted = {split: understood[name][1] for split, name in asked.items()}
    elif not wanted and (frozenset() in stems or len(stems) == 1):
        wanted = {"train": min(stems, key=len)}
    if "train" not in wanted:
        raise unclear("no train_images, images or single array")
    named = {role: dict[str, str]() for role in _ROLES}
    for role, of_role in named.items():
        for split, stem in wanted.items():
            names = [name for name in arrays if understood[name] == (role, stem)]
            if asked and role == "images":
                names = [asked[split]]
            if len(names) > 1:
                raise unclear(f"not one array for the {role} of {split}")
            if names:
                of_role[split] = names[0]
        if of_role and (without := next((split for split in wanted if split not in of_role), None)):
            raise BadInput(f"{path} has {role} for other splits, but no {without}_{role}.")
    left = [name for name in arrays if not any(name in names.values() for names in named.values())]
    like, lengths = arrays[named["images"]["train"]].shape, {len(arrays[name]) for name in named["images"].values()}
    for name in left if asked is None else ():
        role, stem = understood[name]
        is_like = len(like) > 1 and arrays[name].shape[1:] == like[1:] and name not in _ASIDE
        if is_like and (len(arrays[name]) not in lengths or (role == "images" and stem & SPLITS.keys())):
            raise unclear(f"no split of the name of {name}, which is like its images")
    return named, [f"arrays left alone: {', '.join(left)}"] if left else []


def _check_shapes(arrays: Mapping[str, np.ndarray], what: str, path: Path) -> None:
    like = arrays["train"].shape[1:]
    for split, array in arrays.items():
        if array.shape[1:] != like:
            raise BadInput(f"{path} has {split} {what} of shape {array.shape[1:]} and training {what} of shape {like}.")


def _images(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """Integers, shape (N, C, H, W)."""
    if array.dtype.kind not in "bui":
        lowest, highest = (array.min(), array.max()) if array.dtype.kind == "f" and array.size else (0, 2)
        how = "(x * 255).round()" if lowest >= 0 and highest <= 1 else "((x + 1) // 2)" if lowest == -1 else "x"
        raise BadInput(
            f"{what} must be integer levels, not {array.dtype} values; store {how}.astype('uint8') or the like."
        )
    return _laid_out(array, what=what, layout=layout)


def _laid_out(array: np.ndarray, *, what: str, layout: str | None) -> np.ndarray:
    """The same with its axes in our order, shape (N, C, H, W); rows become squares."""
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise BadInput(f"{what} must have shape (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}.")
    if array.ndim == 2:
        size = array.shape[1]
        channels = 1 if math.isqrt(size) ** 2 == size else 3
        side = math.isqrt(size // channels)
        if channels * side * side != size or side == 1 or (channels == 3 and layout is None):
            raise BadInput(
                f"{what} has rows of {size} values, which are no square of grey; of three colours, data.layout=NCHW "
                "says that all red comes first, data.layout=NHWC that they go pixel by pixel; or else reshape them."
            )
        shape = (side, side) if channels == 1 else (side, side, 3) if layout == "NHWC" else (3, side, side)
        array = array.reshape(-1, *shape)
    seen = _layout(array, layout)
    if seen == "HWCN":
        array, seen = np.moveaxis(array, -1, 0), "NHWC"
    if array.ndim == 3:
        return array[:, None]
    if seen is None:
        how = "data.layout=NHWC or data.layout=NCHW says which"
        raise BadInput(f"{what} has shape {array.shape}, of which any axis could be colours; {how}.")
    return np.moveaxis(array, 3, 1) if seen == "NHWC" else array


def _layout(array: np.ndarray, asked: str | None) -> str | None:
    """What was asked for, else what the axis of 1 to 4 says; None where that is not clear."""
    if asked is not None or array.ndim != 4:
        return asked
    first, third, last = (array.shape[axis] <= _MOST_CHANNELS for axis in (1, 2, 3))
    if first == last:
        return "HWCN" if third and not first else None  # as MATLAB has them
    return "NCHW" if first else "NHWC"


def _understood_maps(
    maps: Mapping[str, np.ndarray], levels: int | None, path: Path
) -> tuple[Mapping[str, np.ndarray], MapKind | None]:
    """The maps of each split, shape (N, d, h, w), in the smallest dtype, and what they are."""
    if not maps:
        return maps, None
    _check_shapes(maps, "maps", path)
    numbers = [split for split, array in maps.items() if array.dtype.kind == "f"]
    if numbers and (len(numbers) < len(maps) or levels is not None):
        raise BadInput(f"{path} has codes in some maps, or map_levels, but numbers in its {numbers[0]} maps.")
    size = maps["train"].shape[1]
    if numbers:
        return maps, MapKind(size)
    lowest, highest = find_range(maps.values())
    levels = max(2, highest + 1) if levels is None else levels
    check_levels(levels, lowest, highest, path, named="codes of maps")
    stored = np.min_scalar_type(levels - 1)
    return {split: array.astype(stored) for split, array in maps.items()}, MapKind(size, levels)


def _codes_or_numbers(array: np.ndarray, *, what: str, layout: str | None, images: int | None = None) -> np.ndarray:
    """Integers, or finite float32 numbers, shape (N, d, h, w); as many as there are images, if that is said."""
    if array.dtype.kind not in "buif":
        raise BadInput(f"{what} must be integer codes or floating-point numbers, not {array.dtype} values.")
    array = _laid_out(array, what=what, layout=layout)
    if images is not None and len(array) != images:
        raise BadInput(f"{what} must be {images}, one for each image, not {len(array)}.")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BadInput(f"{what} must be finite numbers; one is {array[~np.isfinite(numbers)][0]}.")
    return numbers


def number_labels(
    given: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
    names: tuple[str, ...] | None,
    first: int | None,
    what: object,
) -> tuple[dict[str, np.ndarray], int | None, tuple[str, ...] | None]:
    """Labels from 0 of each split, how many classes they number, and the names of these.

    Args:
        given: what stands for the class of each image, numbers or words, shape (N,), of some of the splits.
        counts: of the images of each.
        names: of the classes, where they are known.
        first: the number of the first class, or None.
    """
    if not given:
        return {}, None, None
    if all(array.dtype.kind in "US" for array in given.values()):
        words = {split: _texts(array, what) for split, array in given.items()}
        names = tuple(sorted({str(name) for array in words.values() for name in array.flat}))
        given = {split: np.searchsorted(np.array(names), array) for split, array in words.items()}
    labels = {
        split: whole_numbers(array, what=f"{split} labels of {what}", images=counts[split])
        for split, array in given.items()
    }
    lowest, highest = find_range(labels.values())
    if first is None and lowest > 0 and (names is None or len(names) <= highest):
        raise BadInput(
            f"labels of {what} go from {lowest} to {highest}, so that class 0 has no images; data.first_label={lowest} "
            f"says that classes are numbered from {lowest}, data.first_label=0 that there is a class 0."
        )
    first = first or 0
    classes = highest + 1 - first
    if lowest < first or classes > max(MOST_CLASSES, sum(map(len, labels.values()))):
        begin = f"data.first_label={first}"
        raise BadInput(f"labels of {what} must number classes from {begin}, but go from {lowest} to {highest}.")
    if names is not None and len(names) < classes:
        raise BadInput(f"{what} has {len(names)} class names for labels up to {highest}.")
    if names is None and first:
        names = tuple(str(label) for label in range(first, highest + 1))
    labels = {split: array - first for split, array in labels.items()}
    return labels, classes if names is None else len(names), names


def whole_numbers(array: np.ndarray, *, what: str, images: int) -> np.ndarray:
    """One whole number for each image, int64, shape (N,): as they are, as whole floats, or one-hot."""
    if array.ndim == 2 and 1 in array.shape and array.size == images:
        array = array.reshape(-1)
    if array.dtype.kind not in "buif" or not (array == np.rint(array)).all():
        raise BadInput(f"{what} must be integers, not {array.dtype} values.")
    if array.ndim == 2 and len(array) == images and ((array != 0).sum(1) == 1).all() and array.max() == 1:
        array = array.argmax(1)
    if array.shape != (images,):
        raise BadInput(f"{what} must have shape ({images},), one for each image, not {array.shape}.")
    if array.max() >= 2**62:
        raise BadInput(f"{what} must number classes from 0; one is {array.max()}.")
    return array.astype(np.int64)


def _class_names(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[str, ...] | None:
    for name in _NAMES:
        if name in arrays and arrays[name].dtype.kind in "US":
            names = tuple(str(each) for each in _texts(arrays[name], path).flat)
            if len(set(names)) < len(names):
                raise BadInput(f"{name} in {path} must differ from each other, not be {', '.join(names)}.")
            return names
    return None


def _texts(array: np.ndarray, what: object) -> np.ndarray:
    """Strings, of bytes too."""
    try:
        return array if array.dtype.kind == "U" else np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} has names of classes that are no text in UTF-8, such as {error.object!r}.") from error


def _scalar(
    arrays: Mapping[str, np.ndarray], name: str, path: Path, kinds: str = "ui", what: str = "one whole number"
) -> int | None:
    """What the file says by a single value; None where it says nothing."""
    if name not in arrays:
        return None
    array = arrays[name]
    if array.shape not in ((), (1,)) or array.dtype.kind not in kinds:
        raise BadInput(f"{name} in {path} must be {what}, not {array.dtype} values of shape {array.shape}.")
    return array.item()
