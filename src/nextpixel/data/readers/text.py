"""Rows of numbers as text, such as the .amat files of binarised MNIST: an image a row, white space between."""

from pathlib import Path

import numpy as np

from nextpixel.data.readers.damage import told
from nextpixel.data.readers.matlab import as_integers
from nextpixel.errors import BadInput


def load_text(path: Path) -> dict[str, np.ndarray]:
    """The rows as the array `images`."""
    with told(path):
        with path.open("rb") as file:
            if not file.read(2**10).split():
                raise BadInput(f"{path} has no rows of numbers.")
        return {"images": as_integers(np.loadtxt(path, np.float32, ndmin=2))}
