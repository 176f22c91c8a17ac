"""CIFAR-10 and CIFAR-100 for Python, the folders that torchvision unpacks: pickles of rows of red, green and blue."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts
from nextpixel.data.readers.arrays import arrange
from nextpixel.data.readers.options import UNSAID, Options
from nextpixel.data.readers.pickled import read_pickled
from nextpixel.errors import BadInput

_TEN = ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"], "batches.meta", "labels", "label_names")
_HUNDRED = (["train"], ["test"], "meta", "fine_labels", "fine_label_names")


def are_batches(folder: Path) -> bool:
    """Whether a folder has the names of either."""
    return any(all((folder / file).is_file() for file in (train[0], test[0])) for train, test, *_ in (_TEN, _HUNDRED))


def read_batches(folder: Path, options: Options = UNSAID) -> Parts:
    """Read the training and the test images, 256 levels of three colours, and the names of the classes."""
    train, test, meta, labels, names = _TEN if (folder / _TEN[1][0]).is_file() else _HUNDRED
    arrays = {"levels": np.array(256)}
    for split, files in (("train", train), ("test", test)):
        batches = [read_pickled(folder / file)[0] for file in files]
        for role, key in (("data", "data"), ("labels", labels)):
            missing = next((file for file, batch in zip(files, batches, strict=True) if key not in batch), None)
            if missing is not None:
                raise BadInput(f"{folder / missing} has no {key}, so that it is no batch of CIFAR.")
            try:
                arrays[f"{split}_{role}"] = np.concatenate([batch[key] for batch in batches])
            except ValueError as error:
                raise BadInput(f"{folder} has batches of {key} that differ in shape ({error}).") from error
    if (folder / meta).is_file():
        arrays["class_names"] = read_pickled(folder / meta)[0][names]
    return arrange(arrays, folder, replace(options, layout=options.layout or "NCHW"))
