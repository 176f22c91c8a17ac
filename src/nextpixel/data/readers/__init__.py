"""Files of images, one format a file: each reader takes a path and what the user says of it, and gives `Parts`.

What cannot be read or could mean two things is a `BadInput`, in every one of them. What holds arrays only has to load
them by their names; `arrays.arrange` makes the rest of them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts
from nextpixel.data.readers.arrays import arrange
from nextpixel.data.readers.batches import are_batches, load_batches
from nextpixel.data.readers.folder import IMAGE_SUFFIXES, read_folder, read_picture
from nextpixel.data.readers.idx import IDX, load_idx, read_idx
from nextpixel.data.readers.mapped import load_arrays, load_text
from nextpixel.data.readers.matlab import load_matlab
from nextpixel.data.readers.options import UNSAID, Options
from nextpixel.errors import BadInput, told

_LOADERS = {".npz": load_arrays, ".npy": load_arrays, ".mat": load_matlab, ".amat": load_text}


def read_path(path: Path, options: Options = UNSAID) -> Parts:
    """Read a folder or a file by the reader of its kind."""
    options.refuse(f"{path}, which `datasets` does not open", "columns", "streaming")
    with told(path):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    kinds = {file: load_idx if IDX.search(file.name) else _LOADERS.get(file.suffix.lower()) for file in files}
    loaders = {file: load for file, load in kinds.items() if load and file.is_file()}
    if are_batches(path):
        return arrange(load_batches(path), path, options)
    if path.is_file() and loaders:
        return arrange(loaders[path](path), path, options)
    if loaders and not any(file.is_dir() or file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return arrange(_joined(loaders), path, options)
    if path.is_dir():
        return read_folder(path, options)
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:  # a pipe would be waited for
        return read_picture(path, options)
    raise BadInput(
        f"{path} is neither a folder of images nor a file of arrays ({', '.join(_LOADERS)}, IDX), nor an image: load "
        "it where you trust it, by its own library, and store numpy.savez(FILE, images=…, labels=…); unpack archives; "
        "what Hugging Face `datasets` opens, such as parquet, arrow and webdataset, opens as hf:FILE."
    )


def is_readable(path: Path) -> bool:
    """Whether the name of a file is that of one that `read_path` reads."""
    return path.suffix.lower() in (*_LOADERS, *IMAGE_SUFFIXES) or IDX.search(path.name) is not None


def _joined(files: dict[Path, Callable[[Path], dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The arrays of several files by the names of both; a file of one array gives it its name."""
    arrays: dict[str, np.ndarray] = {}
    for file, load in files.items():
        if load is load_idx:  # the labels beside are a file of their own
            arrays[IDX.sub("", file.name)] = read_idx(file)
            continue
        found = load(file)
        arrays |= {file.stem if len(found) == 1 else f"{file.stem} {name}": found[name] for name in found}
    return arrays


__all__ = ["Options", "is_readable", "read_path"]
