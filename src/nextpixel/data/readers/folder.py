"""Folders of image files.

The sub-folders `train`, `validation` (or `val`) and `test` are splits, if there is a `train`. Sub-folders of a split,
two or more, are classes: labels follow the alphabet. Files go by the alphabet too. Folders of more than 1 GiB of levels
are read image by image, when a batch is asked for. How pixels become levels:

- grey, RGB: as they are, 256 levels, 1 or 3 channels;
- 1 bit: levels 0 and 255 of grey (`bits=1` makes that two levels);
- 16 bits of grey: the upper eight;
- palette (so every GIF, grey or not), CMYK, YCbCr and HSV: RGB;
- transparency, in any of them: laid over white;
- a rotation noted by the camera: done; of several frames: the first.
"""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.lazy import Lazy, contents, number_of
from nextpixel.data.readers.options import UNSAID, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_IN_MEMORY = 2**30  # bytes of levels, of all splits of a folder
# What pillow lets through of its readers.
_DAMAGE = (OSError, EOFError, SyntaxError, TypeError, ValueError, struct.error, Image.DecompressionBombError)


def read_folder(path: Path, options: Options = UNSAID) -> Parts:
    """Read every image below a folder, into memory if they are not too many.

    Raises:
        BadInput: no images, a damaged image, images of different sizes or channels, or class folders that do not match.
            A large folder's images say so only when they are read.
    """
    options.refuse(str(path), "levels", "ordinal", "layout", why="is for npz and npy files")
    return read_folders(_split_folders(path))


def read_folders(folders: Mapping[str, Path]) -> Parts:
    """The same for folders anywhere: that of the split `train`, and of `validation` and `test` where there are any."""
    names = {split: _image_names(folder) for split, folder in folders.items()}
    classes = _class_names(names["train"])
    first = folders["train"] / names["train"][0]
    example = read_image(first)
    stay = sum(map(len, names.values())) * example.nbytes > MOST_IN_MEMORY
    splits = {}
    for split, folder in folders.items():
        pictures = _Pictures(folder, names[split], first, example)
        labels = _labels(folder, names[split], classes) if classes else None
        splits[split] = Split(pictures if stay else pictures[:], labels, marks=None if stay else pictures.contents())
    if not stay:
        splits = _marked(splits)
    return Parts(
        ImageSpec(*example.shape, levels=256),
        len(classes) or None,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        class_names=tuple(classes) or None,
    )


class _Pictures(Lazy):
    """Image files, all of them like the first one of the training images.

    Args:
        folder: where they are.
        names: of the files below it. Text, not paths: there may be millions.
        first: the file that the others must be like.
        example: its levels, uint8, shape (C, H, W).
    """

    def __init__(self, folder: Path, names: Sequence[str], first: Path, example: np.ndarray) -> None:
        self._folder, self._names, self._first, self._example = folder, names, first, example

    def __len__(self) -> int:
        return len(self._names)

    def read(self, indices: np.ndarray) -> np.ndarray:
        images = np.empty((len(indices), *self._example.shape), np.uint8)
        for place, index in enumerate(indices):
            file = self._folder / self._names[int(index)]
            image = read_image(file)
            if image.shape != self._example.shape:
                raise BadInput(
                    f"{file} is {_size(image)}, but {self._first} is {_size(self._example)}; all images must be alike."
                )
            images[place] = image
        return images

    def contents(self, indices: np.ndarray | None = None) -> np.ndarray:
        chosen = range(len(self)) if indices is None else indices
        files = (self._folder / self._names[int(index)] for index in chosen)
        return np.array([number_of(file.read_bytes()) for file in files], np.uint64)


def _marked(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Images of the same levels get the same mark, the lowest of their files' numbers, also across splits."""
    images = np.concatenate([contents(split.images) for split in splits.values()])
    files = np.concatenate([split.contents() for split in splits.values()])
    _, alike = np.unique(images, return_inverse=True)
    lowest = np.full(len(images), np.iinfo(np.uint64).max)
    np.minimum.at(lowest, alike, files)
    ends = np.cumsum([len(split) for split in splits.values()])
    marks = np.split(lowest[alike], ends[:-1])
    return {name: replace(split, marks=own) for (name, split), own in zip(splits.items(), marks, strict=True)}


def read_image(path: Path) -> np.ndarray:
    """Levels of one file, uint8, shape (C, H, W), C being 1 or 3.

    Raises:
        BadInput: not an image, damaged, or of a kind without levels.
    """
    try:
        with Image.open(path) as opened:
            palette = opened.format == "GIF" or opened.mode in ("P", "PA")  # pillow opens some GIFs as grey
            picture = _flat(ImageOps.exif_transpose(opened), colour=palette)
    except _DAMAGE as error:
        raise BadInput(f"{path} cannot be read as an image ({error}).") from error
    pixels = np.asarray(picture)
    if picture.mode == "F":
        raise BadInput(f"{path} has floating-point pixels; images must have integer levels.")
    if picture.mode.startswith("I"):
        if pixels.min() < 0 or pixels.max() >= 2**16:
            raise BadInput(f"{path} has pixels from {pixels.min()} to {pixels.max()}, more than 16 bits hold.")
        pixels = (pixels.astype(np.uint16) >> 8).astype(np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def _flat(picture: Image.Image, *, colour: bool) -> Image.Image:
    """Grey (unless it must be colour) or RGB, without transparency; the modes F and I, of wider values, as they are."""
    if picture.mode.startswith(("F", "I")):
        picture.load()
        return picture
    plain = "L" if picture.mode in ("1", "L", "LA") and not colour else "RGB"
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return picture.convert(plain)


def _split_folders(path: Path) -> dict[str, Path]:
    if not (path / "train").is_dir():
        for split in ("validation", "val", "test"):
            if (path / split).is_dir():
                raise BadInput(f"{path} has a folder {split}, but no folder train.")
        return {"train": path}
    named = {"train": "train", "validation": "validation" if (path / "validation").is_dir() else "val", "test": "test"}
    return {split: path / name for split, name in named.items() if (path / name).is_dir()}


def _class_names(names: Sequence[str]) -> list[str]:
    """The sub-folders that have images; one alone is no class."""
    found = sorted({name.partition("/")[0] for name in names if "/" in name})
    return found if len(found) >= 2 else []


def _image_names(folder: Path) -> list[str]:
    names = sorted(_images_below(folder), key=lambda name: name.replace("/", "\0"))  # folder by folder
    if not names:
        raise BadInput(f"{folder} has no images in it ({', '.join(IMAGE_SUFFIXES)}).")
    return names


def _images_below(folder: str | Path, within: str = "") -> Iterator[str]:
    """Names relative to the folder, with slashes, in any order; what begins with a dot is left alone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=not within):  # deeper links may lead in a circle
                yield from _images_below(entry.path, f"{within}{entry.name}/")
            elif entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file():
                yield f"{within}{entry.name}"


def _size(image: np.ndarray) -> str:
    channels, height, width = image.shape
    return f"{width}x{height} in {'grey' if channels == 1 else 'colour'}"


def _labels(folder: Path, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    for name in names:
        if name.partition("/")[0] not in numbers:
            raise BadInput(f"{folder / name} is in none of the class folders {', '.join(classes)}.")
    return np.array([numbers[name.partition("/")[0]] for name in names], np.int64)
