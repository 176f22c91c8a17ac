"""IDX, the format of MNIST: two zero bytes, a type, the number of axes, big-endian sizes, then the values."""

import gzip
import io
import math
import re
import struct
from pathlib import Path

import numpy as np

from nextpixel.data.readers.options import MOST_IN_MEMORY
from nextpixel.errors import BadInput, told

IDX = re.compile(r"[-._]idx[134]-ubyte(\.gz)?$", re.IGNORECASE)  # how a file's name ends


def load_idx(path: Path) -> dict[str, np.ndarray]:
    """A file of images, and the labels in the file beside it, if there is one; or a file of labels."""
    array = read_idx(path)
    beside = path.with_name(re.sub("idx[34]", "idx1", path.name.replace("images", "labels")))
    if array.ndim == 1 or beside == path or not beside.is_file():
        return {"labels" if array.ndim == 1 else "images": array}
    return {"images": array, "labels": read_idx(beside)}


def unzipped(path: Path) -> io.BufferedReader | gzip.GzipFile:
    """Open a file, gzipped or plain, for what it holds."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    return gzip.GzipFile(path) if zipped else path.open("rb")


def read_idx(path: Path) -> np.ndarray:
    """Read a file of unsigned bytes, gzipped or plain, no more of it than its header says."""
    with told(path), unzipped(path) as file:
        header = file.read(4)
        if header[:3] != b"\0\0\x08":
            begins = header.hex(" ") or "nothing"
            raise BadInput(f"{path} is not an IDX file of unsigned bytes: it begins with {begins}, not 00 00 08.")
        shape = struct.unpack(f">{header[3]}I", file.read(4 * header[3]))
        size = math.prod(shape)
        if size > 4 * MOST_IN_MEMORY:
            raise BadInput(f"{path} says that it holds {size} values, more than are read; store an npy file.")
        values = bytearray(file.read(size + 1))  # writable, as torch wants arrays
        if len(values) != size:
            found = len(values) if len(values) < size else "more"
            raise BadInput(f"{path} is cut off or too long: {found} values for the shape {shape} in its header.")
        return np.frombuffer(values, np.uint8).reshape(shape)
