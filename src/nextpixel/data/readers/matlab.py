"""MATLAB's files up to version 7, such as those of SVHN, whose digit 0 has the label 10 there."""

import math
from pathlib import Path

import numpy as np

from nextpixel.data.readers.options import MOST_IN_MEMORY
from nextpixel.errors import BadInput, needs, told

_NUMBERS = ("logical", "double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def load_matlab(path: Path) -> dict[str, np.ndarray]:
    """The arrays of numbers, whole ones as integers; an empty array of objects stands for anything else."""
    with needs("scipy", "mat", "A .mat file"):
        from scipy.io import loadmat, whosmat
        from scipy.io.matlab import MatReadError

    with told(path):
        try:
            found = whosmat(path)
            numbers = [name for name, _, kind in found if kind in _NUMBERS]
            size = sum(8 * math.prod(shape) for name, shape, _ in found if name in numbers)
            if size > 16 * MOST_IN_MEMORY:
                raise BadInput(f"{path} holds {size} bytes, more than are read from a MATLAB file; use an npy file.")
            read = loadmat(path, variable_names=numbers) if numbers else {}
        except NotImplementedError as error:
            raise BadInput(f"{path} is of MATLAB's version 7.3 (HDF5); save it there with the option -v7.") from error
        except MatReadError as error:
            raise ValueError(str(error)) from error
    arrays = {name: as_integers(read[name]) if name in numbers else np.empty(0, object) for name, *_ in found}
    images, labels = arrays.get("X"), arrays.get("y")
    if images is not None and labels is not None and images.shape[:3] == (32, 32, 3) and labels.dtype.kind in "ui":
        arrays["y"] = np.where(labels == 10, 0, labels)
    return arrays


def as_integers(array: np.ndarray) -> np.ndarray:
    """The same as integers, where they are whole: files that people read write them as 1.0."""
    if array.dtype.kind != "f" or not array.size or not (array == np.rint(array)).all() or abs(array).max() >= 2**53:
        return array
    return array.astype(np.uint8 if array.min() >= 0 and array.max() < 256 else np.int64)
