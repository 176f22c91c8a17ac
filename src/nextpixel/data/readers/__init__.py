"""Files of images, one format a file: each reader takes a path and what the user says of it, and gives `Parts`.

What cannot be read or could mean two things is a `BadInput`, in every one of them. What holds arrays only has to load
them by their names; `arrays.arrange` makes the rest of them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts
from nextpixel.data.readers.arrays import arrange
from nextpixel.data.readers.batches import are_batches, read_batches
from nextpixel.data.readers.folder import IMAGE_SUFFIXES, read_folder, read_picture
from nextpixel.data.readers.idx import IDX, load_idx
from nextpixel.data.readers.mapped import load_arrays
from nextpixel.data.readers.matlab import load_matlab, load_text
from nextpixel.data.readers.options import UNSAID, Options
from nextpixel.errors import BadInput, told

_LOADERS = {".npz": load_arrays, ".npy": load_arrays, ".mat": load_matlab, ".amat": load_text}
_OTHERS = {
    ".pkl .pickle .p": "load it where you trust it, and store numpy.savez(FILE, train_images=…, train_labels=…)",
    ".pt .pth .ckpt": "load it where it comes from, and store numpy.savez(FILE, images=tensor.numpy())",
    ".zip .tar .gz .tgz .bz2 .xz .7z .rar": "unpack it and give the folder; a webdataset opens as hf:FILE",
    ".parquet .arrow": "hf:FILE opens it by Hugging Face `datasets`",
    ".h5 .hdf5 .tfrecord .lmdb .csv .txt .json .safetensors": (
        "read it by its own library, and store numpy.savez(FILE, images=…, labels=…)"
    ),
}


def read_path(path: Path, options: Options = UNSAID) -> Parts:
    """Read a folder or a file by the reader of its kind."""
    options.refuse(f"{path}, which `datasets` does not open", "columns", "streaming")
    with told(path):
        files = sorted(path.iterdir()) if path.is_dir() else []
        pictures = any(file.is_dir() or file.suffix.lower() in IMAGE_SUFFIXES for file in files)
    loadable = {file: load for file in files if file.is_file() and (load := _loader(file))}
    if are_batches(path):
        return read_batches(path, options)
    if loadable and not pictures:
        return arrange(_joined(loadable), path, options)
    if path.is_dir():
        return read_folder(path, options)
    if not path.is_file():
        raise BadInput(f"{path} is neither a folder nor a plain file.")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return read_picture(path, options)
    load = _loader(path)
    if load is None:
        way = next((way for suffixes, way in _OTHERS.items() if path.suffix.lower() in suffixes.split()), None)
        known = f"a folder of images nor a file of arrays ({', '.join(_LOADERS)}, IDX)"
        raise BadInput(f"{path} is neither {known}{f'; {way}' if way else ''}.")
    return arrange(load(path), path, options)


def _loader(path: Path) -> Callable[[Path], dict[str, np.ndarray]] | None:
    return load_idx if IDX.search(path.name) else _LOADERS.get(path.suffix.lower())


def _joined(files: Mapping[Path, Callable[[Path], dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The arrays of several files by the names of both; a file of one array gives it its name."""
    arrays: dict[str, np.ndarray] = {}
    for file, load in files.items():
        found = load(file)
        if load is load_idx:  # the labels beside are a file of their own
            arrays[IDX.sub("", file.name)] = next(iter(found.values()))
        else:
            arrays |= {file.stem if len(found) == 1 else f"{file.stem} {name}": found[name] for name in found}
    return arrays


__all__ = ["Options", "read_path"]
