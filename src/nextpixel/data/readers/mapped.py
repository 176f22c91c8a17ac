"""Arrays of npz files that are not read into memory but mapped.

An npz file is a zip archive of npy files. A member that is stored as it is can be mapped where it lies; one that is
compressed is unpacked once into the user's cache, a piece at a time, and mapped there.
"""

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from nextpixel.data.download import bar_of_bytes, cache_folder
from nextpixel.errors import BadInput

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_PIECE = 2**20  # bytes


def map_array(path: Path, name: str) -> np.ndarray:
    """Map an array of an npz file, read-only.

    Args:
        path: the npz file.
        name: of the array.

    Raises:
        BadInput: no such array, one of Python objects, a damaged file, or a cache that cannot be written.
    """
    with _named(path, name), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type == zipfile.ZIP_STORED:
            return _map(path, start=_start(path, member), size=member.file_size)
        return _map(_unpacked(archive, member, path), start=0, size=member.file_size)


def read_array(path: Path, name: str) -> np.ndarray:
    """Read an array of an npz file into memory, and nothing else of the file.

    Raises:
        BadInput: as `map_array`.
    """
    with _named(path, name), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


@contextmanager
def _named(path: Path, name: str) -> Generator[None]:
    """Say which file and which array it was that failed."""
    try:
        yield
    except BadInput:
        raise
    except KeyError as error:
        raise BadInput(f"{path} has no array {name}.") from error
    except _DAMAGE as error:
        raise BadInput(f"{path} is damaged: its array {name} cannot be read ({error}).") from error


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's own bytes begin: behind its header, whose lengths may differ from those in the directory."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        signature, name, extra = struct.unpack("<4s22xHH", file.read(30))
    if signature != b"PK\3\4":
        raise ValueError(f"no header of a member at byte {member.header_offset}")
    return member.header_offset + 30 + name + extra


def _map(path: Path, *, start: int, size: int) -> np.ndarray:
    """Map an npy file of `size` bytes that begins at byte `start`."""
    with path.open("rb") as file:
        file.seek(start)
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, by_columns, kind = np.lib.format.read_array_header_2_0(file)
        else:  # 3.0, for fields with names beyond ASCII
            raise ValueError(f"npy format {version} is not one of plain numbers")
        offset = file.tell()
    if kind.hasobject or by_columns:
        raise ValueError(f"{'Python objects' if kind.hasobject else 'an array by columns'} cannot be mapped")
    if offset - start + math.prod(shape) * kind.itemsize != size:
        raise ValueError(f"{size - (offset - start)} bytes for {kind} values of shape {shape}")
    return np.memmap(path, dtype=kind, mode="r", offset=offset, shape=shape)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Path:
    """The member as a file in the cache, named after its content so that a moved archive is not unpacked again."""
    folder = cache_folder() / "unpacked"
    place = folder / f"{path.stem}-{member.CRC:08x}-{member.file_size}.npy"
    if place.is_file() and place.stat().st_size == member.file_size:
        return place
    beside = folder / f".{place.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, beside.open("wb") as file, bar_of_bytes() as bar:
            task = bar.add_task(f"Unpacking {path.name}", total=member.file_size)
            while piece := source.read(_PIECE):  # the last one checks the sum of all
                file.write(piece)
                bar.update(task, advance=len(piece))
        beside.replace(place)
    except OSError as error:
        raise BadInput(f"{path} cannot be unpacked into {folder} ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):  # where it was never made
            beside.unlink()
    return place
