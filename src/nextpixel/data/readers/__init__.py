"""Files of images, one format a file: each reader takes a path and what the user says of it, and gives `Parts`."""

from collections.abc import Callable
from pathlib import Path

from nextpixel.data.dataset import Parts
from nextpixel.data.readers.arrays import read_arrays
from nextpixel.data.readers.folder import IMAGE_SUFFIXES, read_folder, read_picture
from nextpixel.data.readers.options import Options
from nextpixel.errors import BadInput

Reader = Callable[[Path, Options], Parts]

READERS: dict[str, Reader] = {
    ".npz": read_arrays,
    ".npy": read_arrays,
    **dict.fromkeys(IMAGE_SUFFIXES, read_picture),
}


def read_path(path: Path, options: Options) -> Parts:
    """Read a folder or a file by the reader of its kind.

    Raises:
        BadInput: no reader knows such a file, or what its reader refuses.
    """
    if path.is_dir():
        return read_folder(path, options)
    if path.suffix.lower() in READERS:
        return READERS[path.suffix.lower()](path, options)
    raise BadInput(f"{path} is neither a folder of images nor an npz or npy file.")


__all__ = ["READERS", "Options", "read_path"]
