"""IDX, the format of MNIST: two zero bytes, a type, the number of axes, big-endian sizes, then the values."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from nextpixel.errors import BadInput

_UNSIGNED_BYTE = 0x08
_GZIP = b"\x1f\x8b"


def read_idx(path: Path, *, axes: int) -> np.ndarray:
    """Read a file of unsigned bytes, gzipped or plain.

    Args:
        path: the file.
        axes: how many it must have: 3 for images, 1 for labels.

    Raises:
        BadInput: not an IDX file, another type of value, other axes, or not as long as its header says.
    """
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{path} is a damaged gzip file ({error}).") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from error
    start = 4 + 4 * axes
    if len(content) < 4 or content[:2] != b"\0\0":
        raise BadInput(f"{path} is not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}.")
    if content[2] != _UNSIGNED_BYTE:
        raise BadInput(f"{path} holds values of IDX type 0x{content[2]:02x}, not unsigned bytes (0x08).")
    if content[3] != axes:
        raise BadInput(f"{path} has {content[3]} axes, not {axes}.")
    if len(content) < start:
        raise BadInput(f"{path} is cut off: its header has {len(content)} bytes, not {start}.")
    shape = struct.unpack(f">{axes}I", content[4:start])
    if len(content) - start != math.prod(shape):
        found = len(content) - start
        raise BadInput(f"{path} is cut off or too long: {found} values for the shape {shape} that its header gives.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()  # writable, as torch wants arrays
