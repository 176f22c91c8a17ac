"""Downsampled ImageNet, of 32x32 or 64x64 pixels, on disk; its published validation images are the test split here.

Two sets have this name. Chrabaszcz et al. (2017) publish npz batches with labels, van den Oord et al. (2016) folders of
PNG files without; they are scaled differently, so figures of one say nothing of the other.
"""

from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.download import ROOT_VARIABLE, TABLE, data_root
from nextpixel.data.lazy import View
from nextpixel.data.readers.arrays import whole_numbers
from nextpixel.data.readers.folder import read_folder
from nextpixel.data.readers.mapped import load_array
from nextpixel.data.readers.options import Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

CLASSES, SOURCE = (TABLE["sets"]["imagenet32"][key] for key in ("classes", "source"))
TRAIN_FILES, TEST_FILE = tuple(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz"


def load_imagenet(size: int, root: str | Path | None) -> Parts:
    """Find the images below the data root, in the folder `imagenet32` or `imagenet64`; none is read."""
    folder = _folder(size, root)
    if any((folder / file).exists() for file in (*TRAIN_FILES, TEST_FILE)):
        batches = [_batch(size, folder / file) for file in (*TRAIN_FILES, TEST_FILE)]
        pairs = (zip(*some, strict=True) for some in (batches[:-1], batches[-1:]))
        train, test = (Split(View(images), np.concatenate(labels)) for images, labels in pairs)
        return Parts(ImageSpec(3, size, size, levels=256), CLASSES, train, test=test)
    for train, test in (("train", "val"), (f"train_{size}x{size}", f"valid_{size}x{size}")):
        if (folder / train).is_dir() and (folder / test).is_dir():
            return read_folder(folder, Options(levels=256, splits={"train": train, "test": test}))
    raise BadInput(
        f"imagenet{size} cannot be downloaded without an account: get {TRAIN_FILES[0]} to {TRAIN_FILES[-1]} and "
        f"{TEST_FILE}, or the images as files in train/ and val/, from {SOURCE}, and put them in {folder}."
    )


def find_imagenet(size: int, root: str | Path | None) -> str:
    """Say where the images are on this machine."""
    folder = _folder(size, root)
    return f"in the data root, {folder}" if folder.is_dir() else f"to be got by hand: put it in {folder}"


def _folder(size: int, root: str | Path | None) -> Path:
    return (data_root(root) or Path(ROOT_VARIABLE)) / f"imagenet{size}"


def _batch(size: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A map of images, uint8, shape (N, 3, H, W), and their labels, from 0, shape (N,)."""
    if not path.is_file():
        raise BadInput(f"{path} is missing; get it from {SOURCE}.")
    images = load_array(path, "data", most=0)
    if images.dtype != np.uint8 or images.shape[1:] != (3 * size * size,) or not len(images):
        raise BadInput(
            f"{path} must have data of uint8 values of shape (N, {3 * size * size}), "
            f"not {images.dtype} values of shape {images.shape}."
        )
    labels = whole_numbers(load_array(path, "labels", most=2**30), what=f"labels in {path}", images=len(images))
    if labels.min() < 1 or labels.max() > CLASSES:
        raise BadInput(f"{path} has labels from {labels.min()} to {labels.max()}, not from 1 to {CLASSES}.")
    return images.reshape(-1, 3, size, size), labels - 1
