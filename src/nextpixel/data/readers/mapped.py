"""Arrays of npz and npy files, read into memory or, where they are large, mapped; and numbers as text.

An npz file is a zip archive of npy files. A member that is stored as it is can be mapped where it lies; one that is
compressed is unpacked once into the user's cache, a piece at a time, and mapped there. Nothing is allocated before the
sizes that a header gives were compared with the bytes that are there, and nothing is unpickled.
"""

import math
import shutil
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.data.download import cache_folder, write_watched
from nextpixel.data.readers.matlab import as_integers
from nextpixel.data.readers.options import MOST_IN_MEMORY
from nextpixel.errors import BadInput, told
from nextpixel.files import whole_file


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file, or that of an npy file as `images`; large ones are mapped.

    Python objects are not loaded: an empty array of them stands where some were.
    """
    with told(path), path.open("rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            return {name: load_array(path, name, MOST_IN_MEMORY) for name in names}
        file.seek(0)
        if file.read(6) != np.lib.format.MAGIC_PREFIX:
            raise BadInput(f"{path} holds no plain numpy arrays; Python objects are never loaded.")
        file.seek(0)
        return {"images": _array(file, path.stat().st_size, MOST_IN_MEMORY, lambda: (path, 0))}


def load_array(path: Path, name: str, most: int) -> np.ndarray:
    """One array of an npz file, mapped if it has more bytes than `most`."""
    with told(path, f"is damaged: its array {name} cannot be read"), zipfile.ZipFile(path) as archive:
        if f"{name}.npy" not in archive.NameToInfo:
            raise BadInput(f"{path} has no array {name}.")
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            return _array(file, member.file_size, most, partial(_place, archive, member, path))


def load_text(path: Path) -> dict[str, np.ndarray]:
    """Rows of numbers, such as the .amat files of binarised MNIST, an image a row, as the array `images`."""
    with told(path):
        with path.open("rb") as file:
            if not file.read(2**10).split():
                raise BadInput(f"{path} has no rows of numbers.")
        return {"images": as_integers(np.loadtxt(path, np.float32, ndmin=2))}


def _array(file: Any, size: int, most: int, place: Callable[[], tuple[Path, int]]) -> np.ndarray:
    """What an npy file of `size` bytes holds; `place` says in which file it may be mapped, and where it begins."""
    form = np.lib.format
    read = form.read_array_header_1_0 if form.read_magic(file) == (1, 0) else form.read_array_header_2_0
    shape, by_columns, kind = read(file)
    if kind.hasobject:
        return np.empty(0, object)
    if math.prod(shape) * kind.itemsize != size - file.tell():
        raise ValueError(f"{size - file.tell()} bytes for {kind} values of shape {shape}")
    if size > most:
        path, start = place()
        return np.memmap(path, kind, "r", start + file.tell(), shape, "F" if by_columns else "C")
    file.seek(0)
    return form.read_array(file, allow_pickle=False)


def _place(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> tuple[Path, int]:
    """A file in which a member lies uncompressed, and where its own bytes begin.

    That is behind its header, whose lengths may differ from those in the directory; or a file in the cache, named after
    its content so that a moved archive is not unpacked again.
    """
    if member.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as file:
            file.seek(member.header_offset)
            return path, member.header_offset + 30 + sum(struct.unpack("<26xHH", file.read(30)))
    folder = cache_folder() / "unpacked"
    place = folder / f"{path.stem}-{member.CRC:08x}-{member.file_size}.npy"
    if place.is_file() and place.stat().st_size == member.file_size:
        return place, 0
    with whole_file(place, f"{path} cannot be unpacked into {folder}") as beside:
        if member.file_size > (free := shutil.disk_usage(folder).free):
            raise BadInput(f"{path} unpacks to {member.file_size} bytes, but {folder} has {free} left.")
        with archive.open(member) as source, beside.open("wb") as file:
            pieces = iter(partial(source.read, 2**20), b"")  # the last one checks the sum of all
            write_watched(file, pieces, f"Unpacking {path.name}", member.file_size)
    return place, 0
