"""CIFAR's files: records of a label and 3072 levels, or the folders that torchvision unpacks: pickles of rows.

A pickle is a program. These are not run: their instructions are listed, and the constants in them are what is needed.
"""

import pickletools
import tarfile
from pathlib import Path

import numpy as np

from nextpixel.data.readers.idx import unzipped
from nextpixel.errors import BadInput, told

ARCHIVE, FOLDER, IMAGES = "cifar-10-binary.tar.gz", "cifar-10-batches-bin", 10_000  # images in each of its six files
_RECORD = 1 + 3 * 32 * 32
_TEN = ([f"data_batch_{number}" for number in range(1, 6)], ["test_batch"], "batches.meta", "labels", "label_names")
_HUNDRED = (["train"], ["test"], "meta", "fine_labels", "fine_label_names")
_OTHERS = ("filenames", "batch_label", "coarse_labels", "coarse_label_names", "num_cases_per_batch", "num_vis")
_KEYS = {"data", *_TEN[3:], *_HUNDRED[3:], *_OTHERS}
_NUMBERS = ("BININT", "BININT1", "BININT2", "INT")
_ENCODED = ("_codecs encode", "latin1")  # how some protocols write bytes as text


def load_binary(place: Path) -> dict[str, np.ndarray]:
    """The images and labels of CIFAR-10's binary version, in a folder or in its archive, which is not unpacked."""
    arrays, contents = dict[str, np.ndarray](), None if place.is_dir() else _members(place)
    for split, files in (("train", _TEN[0]), ("test", _TEN[1])):
        records = bytearray()
        for file in (f"{name}.bin" for name in files):
            with told(place / file):
                content = (place / file).read_bytes() if contents is None else contents.get(file, b"")
            if len(content) != IMAGES * _RECORD:
                raise BadInput(f"{place / file} is missing or damaged: {len(content)} bytes, not {IMAGES * _RECORD}.")
            records += content
        each = np.frombuffer(records, np.uint8).reshape(-1, _RECORD)
        arrays |= {f"{split}_images": each[:, 1:].reshape(-1, 3, 32, 32), f"{split}_labels": each[:, 0]}
    return arrays


def _members(path: Path) -> dict[str, bytes]:
    """The six files of the archive, by name; what else is in it, or has another size or kind, counts for nothing."""
    found = dict[str, bytes]()
    with told(path, "is a damaged archive"), unzipped(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if member.name.startswith(f"{FOLDER}/") and member.isreg() and member.size == IMAGES * _RECORD:
                content = tar.extractfile(member)
                found[member.name.removeprefix(f"{FOLDER}/")] = content.read() if content else b""
        while stream.read(2**20):  # to the end, where gzip checks the sum of all
            pass
    return found


def are_batches(folder: Path) -> bool:
    """Whether a folder has the names of torchvision's."""
    return any(all((folder / file).is_file() for file in (train[0], test[0])) for train, test, *_ in (_TEN, _HUNDRED))


def load_batches(folder: Path) -> dict[str, np.ndarray]:
    """The images and labels of CIFAR-10 or CIFAR-100 in Python's version, and the names of the classes."""
    train, test, meta, labels, names = _TEN if (folder / _TEN[0][0]).is_file() else _HUNDRED
    arrays = {"levels": np.array(256)}
    for split, files in (("train", train), ("test", test)):
        batches = [_batch(folder / file, labels) for file in files]
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = map(np.concatenate, zip(*batches, strict=True))
    if (folder / meta).is_file():
        words = [each for each in _constants(folder / meta).get(names, []) if isinstance(each, str)]
        arrays["class_names"] = np.array([word for word in words if word not in _ENCODED])
    return arrays


def _batch(path: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and their labels."""
    found = _constants(path)
    if missing := next((name for name in ("data", key) if not found.get(name)), None):
        raise BadInput(f"{path} has no {missing}, so that it is no batch of CIFAR.")
    labels = np.array([each for each in found[key] if isinstance(each, int)], np.int64)
    levels = max((each for each in found["data"] if isinstance(each, str)), key=len, default="").encode("latin-1")
    if len(levels) != 3072 * len(labels):
        raise BadInput(f"{path} has {len(labels)} labels for {len(levels)} levels, 3072 an image.")
    return np.frombuffer(levels, np.uint8).reshape(-1, 3, 32, 32), labels


def _constants(path: Path) -> dict[str, list[int | str]]:
    """The whole numbers and the texts, bytes too, that stand behind each key of the dictionary."""
    found, behind = dict[str, list[int | str]](), list[int | str]()
    with told(path, "is no batch of CIFAR, or a damaged one"):
        for instruction, value, _ in pickletools.genops(path.read_bytes()):
            constant = value.decode("latin-1") if isinstance(value, bytes | bytearray) else value
            if isinstance(constant, str) and constant in _KEYS:
                behind = found[constant] = []
            elif isinstance(constant, str) or (isinstance(constant, int) and instruction.name in _NUMBERS):
                behind.append(constant)
    return found
