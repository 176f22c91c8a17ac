"""CIFAR-10 and CIFAR-100 for Python, the folders that torchvision unpacks: pickles of rows of red, green and blue.

A pickle is a program. These are not run: their instructions are listed, and the constants in them are what is needed.
"""

import pickletools
from dataclasses import replace
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts
from nextpixel.data.readers.arrays import arrange
from nextpixel.data.readers.options import UNSAID, Options
from nextpixel.errors import BadInput, told

_TEN = ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"], "batches.meta", "labels", "label_names")
_HUNDRED = (["train"], ["test"], "meta", "fine_labels", "fine_label_names")
_OTHERS = ("filenames", "batch_label", "coarse_labels", "coarse_label_names", "num_cases_per_batch", "num_vis")
_KEYS = {"data", *_TEN[3:], *_HUNDRED[3:], *_OTHERS}
_NUMBERS = ("BININT", "BININT1", "BININT2", "INT")
_ENCODED = ("_codecs encode", "latin1")  # how some protocols write bytes as text


def are_batches(folder: Path) -> bool:
    """Whether a folder has the names of either."""
    return any(all((folder / file).is_file() for file in (train[0], test[0])) for train, test, *_ in (_TEN, _HUNDRED))


def read_batches(folder: Path, options: Options = UNSAID) -> Parts:
    """Read the training and the test images, 256 levels of three colours, and the names of the classes."""
    train, test, meta, labels, names = _TEN if (folder / _TEN[1][0]).is_file() else _HUNDRED
    arrays = {"levels": np.array(256)}
    for split, files in (("train", train), ("test", test)):
        batches = [batch(folder / file, labels) for file in files]
        arrays[f"{split}_data"], arrays[f"{split}_labels"] = map(np.concatenate, zip(*batches, strict=True))
    if (folder / meta).is_file():
        words = [each for each in _constants(folder / meta).get(names, []) if isinstance(each, str)]
        arrays["class_names"] = np.array([word for word in words if word not in _ENCODED])
    return arrange(arrays, folder, replace(options, layout=options.layout or "NCHW"))


def batch(path: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Images as rows, and their labels."""
    found = _constants(path)
    if missing := next((name for name in ("data", key) if not found.get(name)), None):
        raise BadInput(f"{path} has no {missing}, so that it is no batch of CIFAR.")
    labels = np.array([each for each in found[key] if isinstance(each, int)], np.int64)
    levels = max((each for each in found["data"] if isinstance(each, str)), key=len, default="").encode("latin-1")
    if len(levels) != 3072 * len(labels):
        raise BadInput(f"{path} has {len(labels)} labels for {len(levels)} levels, 3072 an image.")
    return np.frombuffer(levels, np.uint8).reshape(-1, 3072), labels


def _constants(path: Path) -> dict[str, list[int | str]]:
    """The whole numbers and the texts, bytes too, that stand behind each key of the dictionary."""
    found, behind = dict[str, list[int | str]](), list[int | str]()
    with told(path, "is no batch of CIFAR, or a damaged one"):
        for instruction, value, _ in pickletools.genops(path.read_bytes()):
            constant = value.decode("latin-1") if isinstance(value, bytes | bytearray) else value
            if isinstance(constant, str) and constant in _KEYS:
                behind = found[constant] = []
            elif isinstance(constant, str) or (isinstance(constant, int) and instruction.name in _NUMBERS):
                behind.append(constant)
    return found
