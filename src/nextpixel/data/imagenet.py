"""Downsampled ImageNet, of 32x32 or 64x64 pixels, on disk; its published validation images are the test split here.

Two sets have this name. Chrabaszcz et al. (2017) publish npz batches with labels, van den Oord et al. (2016) folders of
PNG files without; they are scaled differently, so figures of one say nothing of the other.
"""

from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.download import ROOT_VARIABLE, TABLE, data_root
from nextpixel.data.lazy import View
from nextpixel.data.readers.folder import read_folders
from nextpixel.data.readers.mapped import map_array, read_array
from nextpixel.data.readers.options import Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

CLASSES, SOURCE = (TABLE["sets"]["imagenet32"][key] for key in ("classes", "source"))
TRAIN_FILES, TEST_FILE = tuple(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz"


def load_imagenet(size: int, root: str | Path | None) -> Parts:
    """Find the images below the data root, in the folder `imagenet32` or `imagenet64`; none is read."""
    folder = _folder(size, root)
    pictures = None if folder is None else _pictures(size, folder)
    if folder is not None and any((folder / file).exists() for file in (*TRAIN_FILES, TEST_FILE)):
        batches = [_batch(size, folder / file) for file in (*TRAIN_FILES, TEST_FILE)]
        pairs = (zip(*some, strict=True) for some in (batches[:-1], batches[-1:]))
        train, test = (Split(View(images), np.concatenate(labels)) for images, labels in pairs)
        parts = Parts(ImageSpec(3, size, size, levels=256), CLASSES, train, test=test)
    elif pictures is not None:
        parts = read_folders(pictures, Options(levels=256))
    else:
        raise BadInput(
            f"imagenet{size} cannot be downloaded without an account: get {TRAIN_FILES[0]} to {TRAIN_FILES[-1]} and "
            f"{TEST_FILE}, or the images as files in train/ and val/, from {SOURCE}, and put them in "
            f"{folder or f'the folder imagenet{size} of the data root, which --data-root or {ROOT_VARIABLE} names'}."
        )
    if parts.spec.shape != (3, size, size):
        raise BadInput(f"{folder} has images {parts.spec}, not of 3x{size}x{size}.")
    return parts


def find_imagenet(size: int, root: str | Path | None) -> str:
    """Say where the images are on this machine."""
    folder = _folder(size, root)
    if folder is not None and ((folder / TEST_FILE).is_file() or _pictures(size, folder) is not None):
        return f"in the data root, {folder}"
    return f"to be got by hand: put it in {folder or f'imagenet{size}/ of the data root'}"


def _folder(size: int, root: str | Path | None) -> Path | None:
    below = data_root(root)
    return None if below is None else below / f"imagenet{size}"


def _pictures(size: int, folder: Path) -> dict[str, Path] | None:
    """The folders of image files, by their split, or None."""
    for train, test in (("train", "val"), (f"train_{size}x{size}", f"valid_{size}x{size}")):
        if (folder / train).is_dir() and (folder / test).is_dir():
            return {"train": folder / train, "test": folder / test}
    return None


def _batch(size: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A map of images, uint8, shape (N, 3, H, W), and their labels, from 0, shape (N,)."""
    if not path.is_file():
        raise BadInput(f"{path} is missing; get it from {SOURCE}.")
    images, labels = map_array(path, "data"), read_array(path, "labels")
    if images.dtype != np.uint8 or images.shape[1:] != (3 * size * size,) or not len(images):
        raise BadInput(
            f"{path} must have data of uint8 values of shape (N, {3 * size * size}), "
            f"not {images.dtype} values of shape {images.shape}."
        )
    if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
        raise BadInput(f"{path} must have {len(images)} whole labels, not {labels.dtype} of shape {labels.shape}.")
    if labels.min() < 1 or labels.max() > CLASSES:
        bad = labels.min() if labels.min() < 1 else labels.max()
        raise BadInput(f"{path} has the label {bad}; they go from 1 to {CLASSES}.")
    return images.reshape(-1, 3, size, size), labels.astype(np.int64) - 1
