"""The data sets that have names: one row each, and the few lines that load it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import DataSet, Parts, Split
from nextpixel.data.mnist import CLASSES, FASHION_MNIST, MNIST, load_mnist
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
        change: what happens to the levels once the splits are made.
    """

    spec: ImageSpec
    classes: int | None
    sizes: tuple[int, int, int]
    source: str
    description: str
    load: Callable[[str | Path | None], Parts]
    change: Callable[[DataSet], DataSet] = lambda data: data


def _load_digits(root: str | Path | None) -> Parts:
    from sklearn.datasets import load_digits  # here, because it takes a second

    images, labels = load_digits(return_X_y=True)
    split = Split(np.asarray(images, np.uint8).reshape(-1, 1, 8, 8), np.asarray(labels, np.int64))
    return Parts(ImageSpec(1, 8, 8, levels=17), 10, split)


def _binarised(data: DataSet) -> DataSet:
    """Train is drawn anew for every batch; validation and test once, so that all figures are of the same images."""

    def draw_once(split: Split, seed: int) -> Split:
        return Split(binarise(split.images, np.random.default_rng(seed)), split.labels)

    return replace(
        data,
        spec=replace(data.spec, levels=2),
        train=replace(data.train, draw=binarise),
        validation=draw_once(data.validation, VALIDATION_SEED),
        test=draw_once(data.test, TEST_SEED),
    )


def _thresholded(data: DataSet) -> DataSet:
    splits = {
        which: Split(threshold(split.images), split.labels)
        for which, split in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    return replace(data, spec=replace(data.spec, levels=2), **splits)


_GREY = ImageSpec(1, 28, 28, levels=256)
_BINARY = ImageSpec(1, 28, 28, levels=2)
_SIZES = (55_000, 5_000, 10_000)

CATALOGUE: dict[str, CatalogueRow] = {
    "digits": CatalogueRow(
        ImageSpec(1, 8, 8, levels=17),
        10,
        (1_257, 180, 360),
        "scikit-learn, embedded",
        "small handwritten digits; needs no download",
        _load_digits,
    ),
    "mnist": CatalogueRow(
        _GREY, CLASSES, _SIZES, MNIST.mirrors[0], "handwritten digits in grey", partial(load_mnist, MNIST)
    ),
    "mnist-binary": CatalogueRow(
        _BINARY,
        CLASSES,
        _SIZES,
        MNIST.mirrors[0],
        "MNIST, a pixel being 1 with probability level / 255; train drawn for every batch, the rest once",
        partial(load_mnist, MNIST),
        _binarised,
    ),
    "mnist-threshold": CatalogueRow(
        _BINARY,
        CLASSES,
        _SIZES,
        MNIST.mirrors[0],
        "MNIST, a pixel being 1 above level 127",
        partial(load_mnist, MNIST),
        _thresholded,
    ),
    "fashion-mnist": CatalogueRow(
        _GREY,
        CLASSES,
        _SIZES,
        FASHION_MNIST.mirrors[0],
        "pieces of clothing in grey",
        partial(load_mnist, FASHION_MNIST),
    ),
}
