"""MNIST and Fashion-MNIST: four IDX files each, on this machine or downloaded."""

from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.download import Source
from nextpixel.data.readers.idx import read_idx
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

CLASSES = 10
MNIST = Source(
    "MNIST/raw",
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
FASHION_MNIST = Source(
    "FashionMNIST/raw",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


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
