"""The data sets that have names: one row each, and the few lines that load it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nextpixel.data import imagenet
from nextpixel.data.cifar import CIFAR10, find_cifar, load_cifar, load_grey_cifar
from nextpixel.data.dataset import DataSet, Parts, Split
from nextpixel.data.mnist import CLASSES, FASHION_MNIST, MNIST, IdxSource, find_mnist, load_coloured_mnist, load_mnist
from nextpixel.data.shapes import load_coloured_shapes, load_shapes
from nextpixel.data.transforms import binarise, threshold
from nextpixel.spec import ImageSpec

VALIDATION_SEED, TEST_SEED = 28, 2011  # of the noise that binarises these splits, once


@dataclass(frozen=True)
class CatalogueRow:
    """A data set with a name.

    Args:
        spec: of its images.
        classes: how many class labels there are, or None.
        sizes: images for training, validation and test.
        source: where it comes from, for a reader.
        description: one line.
        load: reads it, given a data root or None.
        find: says in words where it is on this machine, given a data root or None.
        change: what happens to the levels once the splits are made.
    """

    spec: ImageSpec
    classes: int | None
    sizes: tuple[int, int, int]
    source: str
    description: str
    load: Callable[[str | Path | None], Parts]
    find: Callable[[str | Path | None], str]
    change: Callable[[DataSet], DataSet] = lambda data: data


def _load_digits(root: str | Path | None) -> Parts:
    with np.load(Path(__file__).with_name("digits.npz")) as file:  # see NOTICE for where it is from
        split = Split(file["images"], file["labels"].astype(np.int64))
    return Parts(ImageSpec(1, 8, 8, levels=17), 10, split)


def _binarised(data: DataSet) -> DataSet:
    """Train is drawn anew for every batch; validation and test once, so that all figures are of the same images."""

    def draw_once(split: Split, seed: int) -> Split:
        return replace(split, images=binarise(split.images, np.random.default_rng(seed)))

    return replace(
        data,
        spec=replace(data.spec, levels=2),
        train=replace(data.train, draw=binarise),
        validation=draw_once(data.validation, VALIDATION_SEED),
        test=draw_once(data.test, TEST_SEED),
    )


def _thresholded(data: DataSet) -> DataSet:
    splits = {
        which: replace(split, images=threshold(split.images))
        for which, split in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    return replace(data, spec=replace(data.spec, levels=2), **splits)


_MNIST_SIZES = (55_000, 5_000, 10_000)
_SHAPES_SIZES = (10_000, 1_000, 2_000)
_CIFAR_SIZES = (45_000, 5_000, 10_000)
_IMAGENET_SIZES = (1_271_167, 10_000, 50_000)


def _mnist_row(
    levels: int,
    description: str,
    *,
    source: IdxSource = MNIST,
    change: Callable[[DataSet], DataSet] = lambda data: data,
) -> CatalogueRow:
    return CatalogueRow(
        ImageSpec(1, 28, 28, levels=levels),
        CLASSES,
        _MNIST_SIZES,
        source.mirrors[0],
        description,
        partial(load_mnist, source),
        partial(find_mnist, source),
        change,
    )


def _imagenet_row(size: int) -> CatalogueRow:
    return CatalogueRow(
        ImageSpec(3, size, size, levels=256),
        imagenet.CLASSES,
        _IMAGENET_SIZES,
        imagenet.SOURCE,
        f"ImageNet scaled to {size}x{size}, npz batches (or image files, then without classes), read from disk as "
        "needed; test is the published validation set",
        partial(imagenet.load_imagenet, size),
        partial(imagenet.find_imagenet, size),
    )


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
    "mnist-threshold": _mnist_row(2, "MNIST, a pixel being 1 above level 127", change=_thresholded),
    "mnist-coloured": CatalogueRow(
        ImageSpec(3, 28, 28, levels=4),
        CLASSES,
        _MNIST_SIZES,
        MNIST.mirrors[0],
        "MNIST above level 127 in one colour on another, drawn once for each image",
        partial(load_coloured_mnist, MNIST),
        partial(find_mnist, MNIST),
    ),
    "fashion-mnist": _mnist_row(256, "pieces of clothing in grey", source=FASHION_MNIST),
    "shapes": CatalogueRow(
        ImageSpec(1, 20, 20, levels=2),
        4,
        _SHAPES_SIZES,
        "made by nextpixel",
        "discs, squares, triangles and crosses of any place, size and rotation; no two images are alike",
        load_shapes,
        lambda root: "here, generated when opened",
    ),
    "shapes-coloured": CatalogueRow(
        ImageSpec(3, 20, 20, levels=4),
        4,
        _SHAPES_SIZES,
        "made by nextpixel",
        "the same shapes in one colour on another, drawn for each image",
        load_coloured_shapes,
        lambda root: "here, generated when opened",
    ),
    "cifar10": CatalogueRow(
        ImageSpec(3, 32, 32, levels=256),
        10,
        _CIFAR_SIZES,
        CIFAR10.mirrors[0],
        "small photographs of animals and vehicles (CIFAR-10)",
        partial(load_cifar, CIFAR10),
        partial(find_cifar, CIFAR10),
    ),
    "cifar10-grey": CatalogueRow(
        ImageSpec(1, 32, 32, levels=256),
        10,
        _CIFAR_SIZES,
        CIFAR10.mirrors[0],
        "CIFAR-10 in grey: (19595 R + 38470 G + 7471 B) / 65536, rounded",
        partial(load_grey_cifar, CIFAR10),
        partial(find_cifar, CIFAR10),
    ),
    "imagenet32": _imagenet_row(32),
    "imagenet64": _imagenet_row(64),
}
