"""CIFAR-10, its binary version or as torchvision unpacks it: six files of 10,000 records of a label and 3072 levels.

The files are read from a folder, or out of the archive in which they are published: it is never unpacked, and a member
counts only under its exact name, as a plain file of the right size. Those of torchvision are pickles, which are
programs, and not run: their instructions are listed, and the constants in them are all that is needed.
"""

import tarfile
from pathlib import Path, PurePosixPath

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.download import Source, below_root
from nextpixel.data.readers.batches import batch
from nextpixel.data.readers.idx import unzipped
from nextpixel.errors import BadInput, told
from nextpixel.spec import ImageSpec

ARCHIVE, IMAGES, CLASSES = "cifar-10-binary.tar.gz", 10_000, 10  # images in each of its six files
TRAIN_FILES, TEST_FILE = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"
_FILES = *TRAIN_FILES, TEST_FILE
FOLDER, PYTHON_FOLDER = "cifar-10-batches-bin", "cifar-10-batches-py"  # below the data root as in the archives
_RECORD = 1 + 3 * 32 * 32


def load_cifar(source: Source, root: str | Path | None) -> Parts:
    """Read the training and the test images, 256 levels of red, green and blue."""
    folder = below_root(root, *source.unpacked)
    place = folder or source.locate(ARCHIVE, root)
    contents = _read_archive(place) if folder is None else {file: _read_file(folder, file) for file in _FILES}
    train, test = (_split([contents[file] for file in files], place) for files in (TRAIN_FILES, [TEST_FILE]))
    return Parts(ImageSpec(3, 32, 32, levels=256), CLASSES, train, test=test, class_names=source.class_names)


def _read_file(folder: Path, file: str) -> bytes:
    pickled = folder.name == PYTHON_FOLDER
    path = folder / (file.removesuffix(".bin") if pickled else file)
    if not path.is_file():
        raise BadInput(f"{path} is missing; {folder} must hold all of {'its archive' if pickled else ARCHIVE}.")
    if pickled:
        levels, labels = batch(path, "labels")
        content = np.column_stack([labels.astype(np.uint8), levels]).tobytes()
    else:
        content = path.read_bytes()
    if len(content) != IMAGES * _RECORD:
        raise BadInput(f"{path} is damaged: it has {len(content)} bytes, not {IMAGES * _RECORD}.")
    return content


def _read_archive(path: Path) -> dict[str, bytes]:
    """The six files, by name."""
    contents, size = {}, IMAGES * _RECORD
    with told(path, "is a damaged archive"), unzipped(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise BadInput(f"{path} has a member {member.name}, which is outside of it: this is not {ARCHIVE}.")
            if name.parent != PurePosixPath(FOLDER) or name.name not in _FILES:
                continue
            if not member.isreg() or member.size != size:
                what = f"{member.size} bytes long" if member.isreg() else "no plain file"
                raise BadInput(f"{path} has a member {member.name} that is {what}, not of {size} bytes.")
            content = tar.extractfile(member)
            assert content is not None
            contents[name.name] = content.read()
        if (missing := next((file for file in _FILES if file not in contents), None)) is not None:
            raise BadInput(f"{path} has no member {FOLDER}/{missing}.")
        while stream.read(2**20):  # to the end, where gzip checks the sum of all
            pass
    return contents


def _split(contents: list[bytes], place: Path) -> Split:
    records = [np.frombuffer(content, np.uint8).reshape(-1, _RECORD) for content in contents]
    labels = np.concatenate([some[:, 0] for some in records]).astype(np.int64)
    if labels.max() >= CLASSES:
        raise BadInput(f"{place} has the label {labels.max()}; they go from 0 to {CLASSES - 1}.")
    return Split(np.concatenate([some[:, 1:] for some in records]).reshape(-1, 3, 32, 32), labels)
