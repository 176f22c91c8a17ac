"""Arrays of npz and npy files, read into memory or, where they are large, mapped.

An npz file is a zip archive of npy files. A member that is stored as it is can be mapped where it lies; one that is
compressed is unpacked once into the user's cache, a piece at a time, and mapped there. Nothing is allocated before the
sizes that a header gives were compared with the bytes that are there, and nothing is unpickled.
"""

import math
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.data.download import bar_of_bytes, cache_folder
from nextpixel.data.readers.options import MOST_IN_MEMORY
from nextpixel.errors import BadInput, told
from nextpixel.files import whole_file

_PIECE = 2**20  # bytes


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file, or that of an npy file as `images`; large ones are mapped.

    Python objects are not loaded: an empty array of them stands where some were.
    """
    with told(path), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            if file.read(6) != b"\x93NUMPY":
                raise BadInput(f"{path} holds no plain numpy arrays; Python objects are never loaded.")
            file.seek(0)
            size = path.stat().st_size
            return {"images": _map(path, start=0, size=size) if size > MOST_IN_MEMORY else _read(file, size)}
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    return {name: _array(path, name, most=MOST_IN_MEMORY, objects=True) for name in names}


def map_array(path: Path, name: str) -> np.ndarray:
    """Map an array of an npz file, read-only."""
    return _array(path, name, most=0)


def read_array(path: Path, name: str) -> np.ndarray:
    """Read an array of an npz file into memory, and nothing else of the file."""
    return _array(path, name, most=math.inf)


def _array(path: Path, name: str, *, most: int | float, objects: bool = False) -> np.ndarray:
    """An array of an npz file, mapped if it has more bytes than that; of Python objects, an empty one or none."""
    with told(path, f"is damaged: its array {name} cannot be read"), zipfile.ZipFile(path) as archive:
        if f"{name}.npy" not in archive.NameToInfo:
            raise BadInput(f"{path} has no array {name}.")
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            if _header(file, member.file_size)[2].hasobject:
                if objects:
                    return np.empty(0, object)
                raise ValueError("Python objects are never loaded")
            if member.file_size <= most:
                file.seek(0)
                return _read(file, member.file_size)
        if member.compress_type == zipfile.ZIP_STORED:
            return _map(path, start=_start(path, member), size=member.file_size)
        return _map(_unpacked(archive, member, path), start=0, size=member.file_size)


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's own bytes begin: behind its header, whose lengths may differ from those in the directory."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        signature, name, extra = struct.unpack("<4s22xHH", file.read(30))
    if signature != b"PK\3\4":
        raise ValueError(f"no header of a member at byte {member.header_offset}")
    return member.header_offset + 30 + name + extra


def _header(file: Any, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, whether it is by columns and the type of an npy file of `size` bytes; then its values follow."""
    start, version = file.tell(), np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # 3.0, for fields with names beyond ASCII
        raise ValueError(f"npy format {version} is not one of plain numbers")
    form = np.lib.format
    read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    shape, by_columns, kind = read(file)
    left = size - (file.tell() - start)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"no array has the shape {shape}")
    if not kind.hasobject and math.prod(shape) * kind.itemsize != left:
        raise ValueError(f"{left} bytes for {kind} values of shape {shape}")
    return shape, by_columns, kind


def _read(file: Any, size: int) -> np.ndarray:
    _header(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _map(path: Path, *, start: int, size: int) -> np.ndarray:
    """Map an npy file of `size` bytes that begins at byte `start`."""
    with path.open("rb") as file:
        file.seek(start)
        shape, by_columns, kind = _header(file, size)
        offset = file.tell()
    if kind.hasobject:
        raise ValueError("Python objects cannot be mapped")
    return np.memmap(path, dtype=kind, mode="r", offset=offset, shape=shape, order="F" if by_columns else "C")


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Path:
    """The member as a file in the cache, named after its content so that a moved archive is not unpacked again."""
    folder = cache_folder() / "unpacked"
    place = folder / f"{path.stem}-{member.CRC:08x}-{member.file_size}.npy"
    if place.is_file() and place.stat().st_size == member.file_size:
        return place
    with whole_file(place, f"{path} cannot be unpacked into {folder}") as beside:
        if member.file_size > (free := shutil.disk_usage(folder).free):
            raise BadInput(f"{path} unpacks to {member.file_size} bytes, but {folder} has {free} left.")
        with archive.open(member) as source, beside.open("wb") as file, bar_of_bytes() as bar:
            task = bar.add_task(f"Unpacking {path.name}", total=member.file_size)
            while piece := source.read(_PIECE):  # the last one checks the sum of all
                file.write(piece)
                bar.update(task, advance=len(piece))
    return place
