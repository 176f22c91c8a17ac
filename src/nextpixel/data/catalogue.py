"""The data sets that have names: what catalogue.yaml says of each, and the few lines that load it."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nextpixel.data.codes import book, encode
from nextpixel.data.dataset import DataSet, Parts, Split
from nextpixel.data.download import ROOT_VARIABLE, SOURCES, TABLE, Source, below_root, data_root
from nextpixel.data.lazy import View
from nextpixel.data.readers.arrays import arrange, whole_numbers
from nextpixel.data.readers.batches import ARCHIVE, load_batches, load_binary
from nextpixel.data.readers.folder import read_folder
from nextpixel.data.readers.idx import read_idx
from nextpixel.data.readers.mapped import load_array
from nextpixel.data.readers.options import Options
from nextpixel.data.shapes import load_shapes
from nextpixel.data.transforms import binarise, desaturate, paint, threshold
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

IMAGENET_FILES = *(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz"
VALIDATION_SEED, TEST_SEED = 28, 2011  # of the noise that binarises these splits, once


def load_mnist(source: Source, root: str | Path | None) -> Parts:
    """Read the 60,000 training and 10,000 test images, 256 levels."""
    files = {file.partition("-idx")[0]: source.locate(file, root) for file in source.hashes}
    return _arranged({name: read_idx(file) for name, file in files.items()}, files.popitem()[1].parent, source)


def load_cifar(source: Source, root: str | Path | None) -> Parts:
    """Read the training and the test images, 256 levels of red, green and blue."""
    place = below_root(root, *source.unpacked) or source.locate(ARCHIVE, root)
    arrays = load_batches(place) if place.name == source.unpacked[-1] else load_binary(place)
    return _arranged(arrays, place, source)


def _arranged(arrays: dict[str, np.ndarray], place: Path, source: Source) -> Parts:
    """Images of ten classes, whose names a model does not keep where they are digits."""
    arrays |= {"class_names": np.array(source.class_names or [*"0123456789"])}
    return replace(
        arrange(arrays, place, Options(levels=256)), class_names=source.class_names and tuple(source.class_names)
    )


def load_imagenet(size: int, root: str | Path | None) -> Parts:
    """Find the images below the data root, in the folder `imagenet32` or `imagenet64`; none is read.

    Two sets have this name. Chrabaszcz et al. (2017) publish npz batches with labels, van den Oord et al. (2016)
    folders of PNG files without; they are scaled differently, so figures of one say nothing of the other. The published
    validation images are the test split here.
    """
    folder = (data_root(root) or Path(ROOT_VARIABLE)) / f"imagenet{size}"
    if any((folder / file).exists() for file in IMAGENET_FILES):
        batches = [_imagenet_batch(size, folder / file) for file in IMAGENET_FILES]
        pairs = (zip(*some, strict=True) for some in (batches[:-1], batches[-1:]))
        train, test = (Split(View(images), np.concatenate(labels)) for images, labels in pairs)
        return Parts(ImageSpec(3, size, size, levels=256), 1000, train, test=test)
    for train, test in (("train", "val"), (f"train_{size}x{size}", f"valid_{size}x{size}")):
        if (folder / train).is_dir() and (folder / test).is_dir():
            return read_folder(folder, Options(levels=256, splits={"train": train, "test": test}))
    raise BadInput(
        f"imagenet{size} cannot be downloaded without an account: get train_data_batch_1.npz to 10.npz and "
        "val_data.npz, or the images as files in train/ and val/, from https://image-net.org/download-images, to put "
        f"in {folder}."
    )


def find_imagenet(size: int, root: str | Path | None) -> str:
    """Say where the images are on this machine."""
    folder = (data_root(root) or Path(ROOT_VARIABLE)) / f"imagenet{size}"
    return f"in the data root, {folder}" if folder.is_dir() else f"to be got by hand: put it in {folder}"


def _imagenet_batch(size: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A map of images, uint8, shape (N, 3, H, W), and their labels, from 0, shape (N,)."""
    if not path.is_file():
        raise BadInput(f"{path} is missing; get it from https://image-net.org/download-images.")
    images = load_array(path, "data", most=0)
    if images.dtype != np.uint8 or images.shape[1:] != (3 * size * size,) or not len(images):
        raise BadInput(
            f"{path} must have data of uint8 values of shape (N, {3 * size * size}), "
            f"not {images.dtype} values of shape {images.shape}."
        )
    labels = whole_numbers(load_array(path, "labels", most=2**30), what=f"labels in {path}", images=len(images))
    if labels.min() < 1 or labels.max() > 1000:
        raise BadInput(f"{path} has labels from {labels.min()} to {labels.max()}, not from 1 to 1000.")
    return images.reshape(-1, 3, size, size), labels - 1


@dataclass(frozen=True)
class CatalogueRow:
    """A data set with a name."""

    spec: ImageSpec
    load: Callable[[str | Path | None], Parts]  # reads it, given a data root or None
    find: Callable[[str | Path | None], str]  # says in words where it is on this machine
    change: Callable[[DataSet], DataSet] = lambda data: data  # what happens to the levels once the splits are made
    _: KW_ONLY
    classes: int | None  # how many labels there are
    sizes: tuple[int, int, int]  # images for training, validation and test
    source: str  # where it comes from, for a reader
    description: str  # one line
    licence: str | None = None  # of its images, and whom to thank, as far as that is stated


def _load_digits(root: str | Path | None) -> Parts:
    with np.load(Path(__file__).with_name("digits.npz")) as file:  # see NOTICE for where it is from
        split = Split(file["images"], file["labels"].astype(np.int64))
    return Parts(ImageSpec(1, 8, 8, levels=17), 10, split)


def painted(parts: Parts, *seeds: int, above: int = 0) -> Parts:
    """The same images in colour, four levels: what is above a level in one colour, the rest in another.

    Colours are drawn by the image's place in its file, however the splits are cut; each split has a seed of its own.
    """
    splits = {
        name: replace(split, images=paint(threshold(split.images, above), np.random.default_rng(seed)))
        for (name, split), seed in zip(parts.splits.items(), seeds, strict=True)
    }
    return replace(parts, spec=replace(parts.spec, channels=3, levels=4), **splits)


def _binarised(data: DataSet) -> DataSet:
    """Train is drawn anew for every batch; validation and test once, so that all figures are of the same images."""
    once = {
        name: replace(data.splits[name], images=binarise(data.splits[name].images, np.random.default_rng(seed)))
        for name, seed in (("validation", VALIDATION_SEED), ("test", TEST_SEED))
    }
    return replace(data, spec=replace(data.spec, levels=2), train=replace(data.train, draw=binarise), **once)


def _coded(data: DataSet) -> DataSet:
    """Names of patches in the place of images."""
    patches = book()
    grid = {"height": data.spec.height // patches.shape[2], "width": data.spec.width // patches.shape[3]}
    return data.with_images(partial(encode, book=patches), levels=len(patches), ordinal=False, **grid)


_FOUND = {name: source.whereabouts for name, source in SOURCES.items()}
_MNIST, _CIFAR = partial(load_mnist, SOURCES["mnist"]), partial(load_cifar, SOURCES["cifar10"])
_WAYS: dict[str, tuple[Callable[..., Any], ...]] = {  # how each is loaded and found, and what is done to its levels
    "digits": (_load_digits, lambda root: "here, a part of nextpixel"),
    "mnist": (_MNIST, _FOUND["mnist"]),
    "mnist-binary": (_MNIST, _FOUND["mnist"], _binarised),
    "mnist-threshold": (_MNIST, _FOUND["mnist"], lambda data: data.with_images(threshold, levels=2)),
    "mnist-coloured": (lambda root: painted(_MNIST(root), 1998, 2294, above=127), _FOUND["mnist"]),
    "mnist-codes": (_MNIST, _FOUND["mnist"], _coded),
    "fashion-mnist": (partial(load_mnist, SOURCES["fashion-mnist"]), _FOUND["fashion-mnist"]),
    "shapes": (load_shapes, lambda root: "here, generated when opened"),
    "shapes-coloured": (lambda root: painted(load_shapes(root), 294), lambda root: "here, generated when opened"),
    "cifar10": (_CIFAR, _FOUND["cifar10"]),
    "cifar10-grey": (_CIFAR, _FOUND["cifar10"], lambda data: data.with_images(desaturate, channels=1)),
    "imagenet32": (partial(load_imagenet, 32), partial(find_imagenet, 32)),
    "imagenet64": (partial(load_imagenet, 64), partial(find_imagenet, 64)),
}
CATALOGUE = {
    name: CatalogueRow(ImageSpec(*spec), *_WAYS[name], sizes=tuple(sizes), **row)
    for name, row in TABLE["sets"].items()
    for spec, sizes in [(row.pop("spec"), row.pop("sizes"))]
}
