"""The data sets that have names: one row each, and the few lines that load it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nextpixel.data import imagenet
from nextpixel.data.cifar import CIFAR10, load_cifar
from nextpixel.data.dataset import DataSet, Parts, Split
from nextpixel.data.download import Source
from nextpixel.data.mnist import CLASSES, FASHION_MNIST, MNIST, load_mnist
from nextpixel.data.shapes import load_shapes
from nextpixel.data.transforms import binarise, desaturate, paint, threshold
from nextpixel.spec import ImageSpec

VALIDATION_SEED, TEST_SEED = 28, 2011  # of the noise that binarises these splits, once


@dataclass(frozen=True)
class CatalogueRow:
    """A data set with a name."""

    spec: ImageSpec
    classes: int | None  # how many labels there are
    sizes: tuple[int, int, int]  # images for training, validation and test
    source: str  # where it comes from, for a reader
    description: str  # one line
    load: Callable[[str | Path | None], Parts]  # reads it, given a data root or None
    find: Callable[[str | Path | None], str]  # says in words where it is on this machine
    change: Callable[[DataSet], DataSet] = lambda data: data  # what happens to the levels once the splits are made


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


def _mnist_row(
    levels: int,
    description: str,
    *,
    channels: int = 1,
    source: Source = MNIST,
    load: Callable[[Source, str | Path | None], Parts] = load_mnist,
    change: Callable[[DataSet], DataSet] = lambda data: data,
) -> CatalogueRow:
    spec, place = ImageSpec(channels, 28, 28, levels=levels), source.mirrors[0]
    reads = partial(load, source), source.whereabouts
    return CatalogueRow(spec, CLASSES, (55_000, 5_000, 10_000), place, description, *reads, change)


def _shapes_row(channels: int, levels: int, description: str, load: Callable[..., Parts]) -> CatalogueRow:
    spec, sizes, source = ImageSpec(channels, 20, 20, levels=levels), (10_000, 1_000, 2_000), "made by nextpixel"
    return CatalogueRow(spec, 4, sizes, source, description, load, lambda root: "here, generated when opened")


def _cifar_row(channels: int, description: str, *change: Callable[[DataSet], DataSet]) -> CatalogueRow:
    spec, place = ImageSpec(channels, 32, 32, levels=256), CIFAR10.mirrors[0]
    reads = partial(load_cifar, CIFAR10), CIFAR10.whereabouts
    return CatalogueRow(spec, 10, (45_000, 5_000, 10_000), place, description, *reads, *change)


def _imagenet_row(size: int) -> CatalogueRow:
    spec = ImageSpec(3, size, size, levels=256)
    description = (
        f"ImageNet scaled to {size}x{size}, npz batches (or image files, then without classes), read from disk as "
        "needed; test is the published validation set"
    )
    reads = partial(imagenet.load_imagenet, size), partial(imagenet.find_imagenet, size)
    sizes = (1_271_167, 10_000, 50_000)
    return CatalogueRow(spec, imagenet.CLASSES, sizes, imagenet.SOURCE, description, *reads)


CATALOGUE: dict[str, CatalogueRow] = {
    "digits": CatalogueRow(
        ImageSpec(1, 8, 8, levels=17),
        10,
        (1_257, 180, 360),
        "UCI, the copy of scikit-learn",
        "small handwritten digits; needs no download",
        _load_digits,
        lambda root: "here, a part of nextpixel",
    ),
    "mnist": _mnist_row(256, "handwritten digits in grey"),
    "mnist-binary": _mnist_row(
        2,
        "MNIST, a pixel being 1 with probability level / 255; train drawn for every batch, the rest once",
        change=_binarised,
    ),
    "mnist-threshold": _mnist_row(
        2, "MNIST, a pixel being 1 above level 127", change=partial(_each, threshold, levels=2)
    ),
    "mnist-coloured": _mnist_row(
        4,
        "MNIST above level 127 in one colour on another, drawn once for each image",
        channels=3,
        load=lambda source, root: painted(load_mnist(source, root), 1998, 2294, above=127),
    ),
    "fashion-mnist": _mnist_row(256, "pieces of clothing in grey", source=FASHION_MNIST),
    "shapes": _shapes_row(
        1,
        2,
        "discs, squares, triangles and crosses of any place, size and rotation; no two images are alike",
        load_shapes,
    ),
    "shapes-coloured": _shapes_row(
        3,
        4,
        "the same shapes in one colour on another, drawn for each image",
        lambda root: painted(load_shapes(root), 294),
    ),
    "cifar10": _cifar_row(3, "small photographs of animals and vehicles (CIFAR-10)"),
    "cifar10-grey": _cifar_row(
        1, "CIFAR-10 in grey: (19595 R + 38470 G + 7471 B) / 65536, rounded", partial(_each, desaturate, channels=1)
    ),
    "imagenet32": _imagenet_row(32),
    "imagenet64": _imagenet_row(64),
}
