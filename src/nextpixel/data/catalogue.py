"""The data sets that have names: what catalogue.yaml says of each, and the few lines that load it."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.data.cifar import load_cifar
from nextpixel.data.dataset import DataSet, Parts, Split
from nextpixel.data.download import SOURCES, TABLE, Source
from nextpixel.data.imagenet import find_imagenet, load_imagenet
from nextpixel.data.readers.idx import read_idx
from nextpixel.data.shapes import load_shapes
from nextpixel.data.transforms import binarise, desaturate, paint, threshold
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

CLASSES = 10


def load_mnist(source: Source, root: str | Path | None) -> Parts:
    """Read the 60,000 training and 10,000 test images, 256 levels."""
    train, test = (_load_split(source, root, which) for which in ("train", "t10k"))
    return Parts(ImageSpec(1, 28, 28, levels=256), CLASSES, train, test=test, class_names=source.class_names)


def _load_split(source: Source, root: str | Path | None, which: str) -> Split:
    images_file = source.locate(f"{which}-images-idx3-ubyte.gz", root)
    labels_file = source.locate(f"{which}-labels-idx1-ubyte.gz", root)
    images, labels = read_idx(images_file, axes=3), read_idx(labels_file, axes=1)
    if images.shape[1:] != (28, 28) or not len(images):
        raise BadInput(f"{images_file} has shape {images.shape}, not that of images of 28x28 pixels.")
    if len(labels) != len(images):
        raise BadInput(f"{labels_file} has {len(labels)} labels for {len(images)} images.")
    if labels.max() >= CLASSES:
        raise BadInput(f"{labels_file} has the label {labels.max()}; they go from 0 to {CLASSES - 1}.")
    return Split(images[:, None], labels.astype(np.int64))


VALIDATION_SEED, TEST_SEED = 28, 2011  # of the noise that binarises these splits, once


@dataclass(frozen=True)
class CatalogueRow:
    """A data set with a name."""

    spec: ImageSpec
    load: Callable[[str | Path | None], Parts]  # reads it, given a data root or None
    find: Callable[[str | Path | None], str]  # says in words where it is on this machine
    change: Callable[[DataSet], DataSet] = lambda data: data  # what happens to the levels once the splits are made
    _: KW_ONLY
    classes: int | None  # how many labels there are
    sizes: tuple[int, int, int]  # images for training, validation and test
    source: str  # where it comes from, for a reader
    description: str  # one line
    licence: str | None = None  # of its images, and whom to thank, as far as that is stated


def _load_digits(root: str | Path | None) -> Parts:
    with np.load(Path(__file__).with_name("digits.npz")) as file:  # see NOTICE for where it is from
        split = Split(file["images"], file["labels"].astype(np.int64))
    return Parts(ImageSpec(1, 8, 8, levels=17), 10, split)


def painted(parts: Parts, *seeds: int, above: int = 0) -> Parts:
    """The same images in colour, four levels: what is above a level in one colour, the rest in another.

    Colours are drawn by the image's place in its file, however the splits are cut; each split has a seed of its own.
    """
    splits = {
        name: replace(split, images=paint(threshold(split.images, above), np.random.default_rng(seed)))
        for (name, split), seed in zip(parts.splits.items(), seeds, strict=True)
    }
    return replace(parts, spec=replace(parts.spec, channels=3, levels=4), **splits)


def _binarised(data: DataSet) -> DataSet:
    """Train is drawn anew for every batch; validation and test once, so that all figures are of the same images."""
    train = replace(data.train, draw=binarise)
    validation, test = (
        replace(split, images=binarise(split.images, np.random.default_rng(seed)))
        for split, seed in ((data.validation, VALIDATION_SEED), (data.test, TEST_SEED))
    )
    return replace(data, spec=replace(data.spec, levels=2), train=train, validation=validation, test=test)


def _each(function: Callable[[np.ndarray], np.ndarray], data: DataSet, **spec: int) -> DataSet:
    """Something done to all images, which then have another spec."""
    made = replace(data.spec, **spec)
    return data.with_splits(lambda split: replace(split, images=function(split.images)), spec=made)


def _named(name: str) -> tuple[Callable[[str | Path | None], Parts], Callable[[str | Path | None], str]]:
    """How a set that is downloaded is loaded and found."""
    return partial(load_cifar if name == "cifar10" else load_mnist, SOURCES[name]), SOURCES[name].whereabouts


def _generated(root: str | Path | None) -> str:
    return "here, generated when opened"


_MNIST, _WHERE = _named("mnist")
_WAYS: dict[str, tuple[Callable[..., Any], ...]] = {  # how each is loaded and found, and what is done to its levels
    "digits": (_load_digits, lambda root: "here, a part of nextpixel"),
    "mnist": (_MNIST, _WHERE),
    "mnist-binary": (_MNIST, _WHERE, _binarised),
    "mnist-threshold": (_MNIST, _WHERE, partial(_each, threshold, levels=2)),
    "mnist-coloured": (lambda root: painted(_MNIST(root), 1998, 2294, above=127), _WHERE),
    "fashion-mnist": _named("fashion-mnist"),
    "shapes": (load_shapes, _generated),
    "shapes-coloured": (lambda root: painted(load_shapes(root), 294), _generated),
    "cifar10": _named("cifar10"),
    "cifar10-grey": (*_named("cifar10"), partial(_each, desaturate, channels=1)),
    "imagenet32": (partial(load_imagenet, 32), partial(find_imagenet, 32)),
    "imagenet64": (partial(load_imagenet, 64), partial(find_imagenet, 64)),
}
CATALOGUE = {
    name: CatalogueRow(ImageSpec(*spec), *_WAYS[name], sizes=tuple(sizes), **row)
    for name, row in TABLE["sets"].items()
    for spec, sizes in [(row.pop("spec"), row.pop("sizes"))]
}
