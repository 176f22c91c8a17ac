"""IDX, the format of MNIST: two zero bytes, a type, the number of axes, big-endian sizes, then the values."""

import gzip
import io
import math
import re
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nextpixel.data.readers.options import MOST_IN_MEMORY
from nextpixel.errors import BadInput, told

IDX = re.compile(r"[-._]idx([134])-ubyte(\.gz)?$", re.IGNORECASE)  # how a file's name ends


def load_idx(path: Path) -> dict[str, np.ndarray]:
    """A file of images, and the labels in the file beside it, if there is one; or a file of labels."""
    found = IDX.search(path.name)
    assert found is not None
    axes = int(found[1])
    if axes == 1:
        return {"labels": read_idx(path, axes=1)}
    beside = path.with_name(path.name.replace("images", "labels").replace(f"idx{axes}", "idx1"))
    labels = {"labels": read_idx(beside, axes=1)} if beside != path and beside.is_file() else {}
    return {"images": read_idx(path, axes=axes)} | labels


@contextmanager
def unzipped(path: Path) -> Generator[io.BufferedReader | gzip.GzipFile]:
    """Open a file, gzipped or plain, for what it holds."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        with gzip.GzipFile(fileobj=plain) if zipped else plain as file:
            yield file


def read_idx(path: Path, *, axes: int) -> np.ndarray:
    """Read a file of unsigned bytes, gzipped or plain, no more of it than its header says.

    It must have that many axes: 3 for images, 1 for labels.
    """
    start = 4 + 4 * axes
    with told(path), unzipped(path) as file:
        header = file.read(start)
        if header[:2] != b"\0\0" or len(header) < 4:
            raise BadInput(f"{path} is not an IDX file: it begins with {header[:4].hex(' ') or 'nothing'}.")
        if header[2] != 0x08:
            raise BadInput(f"{path} holds values of IDX type 0x{header[2]:02x}, not unsigned bytes (0x08).")
        if header[3] != axes:
            raise BadInput(f"{path} has {header[3]} axes, not {axes}.")
        if len(header) < start:
            raise BadInput(f"{path} is cut off: its header has {len(header)} bytes, not {start}.")
        shape = struct.unpack(f">{axes}I", header[4:])
        size = math.prod(shape)
        if size > 4 * MOST_IN_MEMORY:
            raise BadInput(f"{path} says that it holds {size} values, more than are read; store an npy file.")
        values = bytearray(file.read(size + 1))  # writable, as torch wants arrays
    if len(values) != size:
        found = len(values) if len(values) < size else "more"
        raise BadInput(f"{path} is cut off or too long: {found} values for the shape {shape} that its header gives.")
    return np.frombuffer(values, np.uint8).reshape(shape)
