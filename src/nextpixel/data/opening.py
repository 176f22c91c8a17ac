"""`open_data`: from a name or a path to a data set ready for training.

Splits that the source itself has keep their images and their order; others are cut off the training images.

Named sets: the images are put in an order that depends only on how many there are, by a fixed seed. Test images are the
last of that order, validation images are those before them, and training images keep it.

Own data: each image has a number in [0, 2^64) that only its content decides (`contents`); test images are those in the
first tenth of all numbers, validation images those in the second. So copies are in one split, and what is added,
removed or renamed moves no other image, but that an empty split gets the image of the next number, with its copies.
"""

import inspect
import itertools
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.data.catalogue import CATALOGUE
from nextpixel.data.dataset import DataSet, Parts
from nextpixel.data.download import below_root
from nextpixel.data.readers import Options, read_path
from nextpixel.data.readers.hub import is_hub, read_hub
from nextpixel.data.transforms import reduce_bits
from nextpixel.errors import BadInput, closest, plain, shown, whole
from nextpixel.files import home

ORDER_SEED = 2016
BY_CONTENT = "a tenth each for validation and test, by a hash of each image"
_TENTH = 2**64 // 10


def open_data(
    name: str | Path,
    root: str | Path | None = None,
    *,
    bits: int | None = None,
    limit: int | None = None,
    validation: int | None = None,
    levels: int | None = None,
    ordinal: bool = True,
    layout: str | None = None,
    splits: dict[str, str] | None = None,
    first_label: int | None = None,
    damaged: str = "refuse",
    size: int | str | None = None,
    fit: str = "crop",
    channels: int | None = None,
    like: int | dict[str, Any] | None = None,
    columns: dict[str, str] | None = None,
    streaming: bool = False,
) -> DataSet:
    """Open a data set by its name, or the user's own by its path.

    Splits of a named set are made by a fixed seed and have the sizes that the catalogue gives. Own data without
    validation or test images gives up about a tenth of its training images for each, at least one, chosen by a hash of
    each image's content: copies stay together, and what is added, removed or renamed moves no other image. ImageNet and
    folders or arrays of more than 1 GiB stay on disk: their images are read when a batch is asked for.

    Args:
        name: a name of the catalogue, the path of a folder of images, an npz or an npy file, or `hf:NAME_OR_PATH`: a
            set on the Hugging Face Hub, or here, of parquet or arrow files, webdataset tars or images.
        root: a folder with named sets in torchvision's layout, `MNIST/raw/…`; else the variable NEXTPIXEL_DATA names
            it. What is not there is downloaded to the user's cache, where that may be (`nextpixel data` says). A path
            that is not here is looked for below it too.
        bits: keep the 2**bits levels floor(level · 2**bits / levels).
        limit: keep the first so many images of each split, for quick trials.
        validation: how many training images become validation images.
        levels: of the images. When None: the file's own scalar `levels`, or what the range that is there says (see
            `data.readers.levels`); where that is not clear, it must be given.
        ordinal: False when the levels of an npz or npy file are names, such as codes of a VQ-VAE. The file may say so
            itself, by a scalar `ordinal`.
        layout: of an npz or npy file's images with four axes, `NHWC`, `NCHW` or `HWCN`; seen from the sizes when None.
        splits: which sub-folder, or which array of images, is `train`, `validation` and `test`, where the names do not
            say it; an empty one when no sub-folder is a split. Usual names are known.
        first_label: the number of the first class, where labels of a file do not begin with 0.
        damaged: "refuse" the data when a file of a folder cannot be read, or "skip" such files and count them.
        size: rows and columns that pictures are brought to, as a number for both or as "HxW".
        fit: how: "crop", "pad", "stretch" or "tiles"; see `Options`.
        channels: 1 or 3, to make pictures grey or coloured.
        like: levels of a model that the images are for, where nothing else says how many there are; or so with
            `levels`, `layout`, `first_label` and `columns` of the data that it learnt from (`DataSet.options`).
        streaming: whether a set that Hugging Face `datasets` opens is read as it comes, and never stored; then the
            first images are for validation and test where it has no such splits, and `limit` says what an epoch is.
        columns: of a set that Hugging Face `datasets` opens, those of `image` and `label`, where that is not clear.

    Raises:
        BadInput: no such name or path, unusable files, a failed download, or an option out of range.

    Example:
        >>> data = open_data("digits")
        >>> data.spec.shape, data.spec.levels, len(data.train), len(data.validation), len(data.test)
        ((1, 8, 8), 17, 1257, 180, 360)
    """
    asked = {key: plain(value) for key, value in locals().items() if key not in ("name", "root", "like")}
    given = {key: its for key, its in asked.items() if its != inspect.signature(open_data).parameters[key].default}
    if not isinstance(name, str | os.PathLike) or not str(name).strip():
        raise BadInput(f"A data set is a name, or the path of a file or folder, not {shown(name)}.")
    for value, what in ((splits, "splits"), (columns, "columns")):
        if not isinstance(value, dict | None) or not all(isinstance(its, str) for its in (value or {}).values()):
            raise BadInput(f"{what} must be a dictionary of names, not {shown(value)}.")
    if not isinstance(root, str | os.PathLike | None):
        raise BadInput(f"root must be a folder, not {shown(root)}.")
    alike = like if isinstance(like, dict) else {} if like is None else {"levels": whole(like, "like", least=2)}
    files = Options(levels=levels, like=alike, ordinal=ordinal, layout=layout, splits=splits, first_label=first_label)
    options = replace(
        files, damaged=damaged, size=size, fit=fit, channels=channels, columns=columns, streaming=streaming
    )
    if isinstance(name, str) and name in CATALOGUE:
        options.refuse(f"{name}, which has a name and no files of yours")
        row = CATALOGUE[name]
        chosen = row.sizes[1] if validation is None else validation
        data = row.change(cut(row.load(root), name, validation=chosen, test=row.sizes[2]))
        if data.spec != row.spec:
            raise BadInput(f"{name} has images {data.spec}, not {row.spec}; its files are those of something else.")
        if Path(name).exists():
            data = replace(data, notes=(*data.notes, f"this is the set of that name; what is here is ./{name}"))
    else:
        parts = read_hub(name, options) if is_hub(name) else read_path(_path(name, root), options)
        data = cut_by_content(parts, str(name), validation=validation)
        given["like"] = data.spec.levels
    data = replace(data, options=given)
    if bits is not None:
        data = with_bits(data, bits)
    if limit is None:
        return data
    whole(limit, "limit", least=1)
    if data.train.stream is None:
        return data.with_splits(lambda split: split.take(slice(limit)))
    data.train.stream.images = limit
    return data


def from_anywhere(name: str) -> str:
    """The name or path by which the same data are opened from any folder."""
    path = home(name.removeprefix("hf:"))
    if is_hub(name):
        return f"hf:{path.absolute()}" if path.exists() else name
    return str(path.absolute()) if name not in CATALOGUE and path.exists() else name


def own_path(name: str | Path, root: str | Path | None) -> Path:
    """Where one's own data is, or would be: as the name says, or else below the data root."""
    path = home(name)
    return path if path.exists() else below_root(root, path) or path


def _path(name: str | Path, root: str | Path | None) -> Path:
    """The path of one's own data, which is there."""
    path = own_path(name, root)
    if path.is_file() or path.is_dir():  # a pipe would be waited for
        return path
    if isinstance(name, Path) or os.sep in name or "/" in name or path.suffix or name.startswith("~"):
        raise BadInput(f"There is no file or folder {name}.")
    hint = f" Did you mean {close}?" if (close := closest(name, CATALOGUE)) else ""
    raise BadInput(
        f"There is no data set {name!r}; known are {', '.join(CATALOGUE)}, or the path of your own data.{hint}"
    )


def with_bits(data: DataSet, bits: int) -> DataSet:
    """The same images with 2**bits levels."""
    if not data.spec.ordinal:
        raise BadInput(f"bits={bits} needs levels that are in order; those of {data.name} are names (ordinal=False).")
    if data.train.stream is not None:
        raise BadInput(f"bits={bits} is not for {data.name}, which is read as it comes (data.streaming).")
    reduce = partial(reduce_bits, bits=bits, levels=data.spec.levels)
    reduce(np.empty(0, np.uint8))  # refuses what is out of range now, not with the first batch
    return data.with_images(reduce, levels=2**bits)


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
        return _complete(parts, name, rule=parts.rule)
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
    return DataSet(name, **{**vars(parts), **splits, "rule": rule})
