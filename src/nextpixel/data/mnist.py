"""MNIST and Fashion-MNIST: four IDX files each, on this machine or downloaded."""

from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.download import Source
from nextpixel.data.readers.idx import read_idx
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
