"""Folders of image files.

The sub-folders `train`, `validation` (or `val`) and `test` are splits, if there is a `train`. Sub-folders of a split,
two or more, are classes: labels follow the alphabet. Files go by the alphabet too. How pixels become levels:

- grey, RGB: as they are, 256 levels, 1 or 3 channels;
- 1 bit: levels 0 and 255 of grey (`bits=1` makes that two levels);
- 16 bits of grey: the upper eight;
- palette (so every GIF, grey or not), CMYK, YCbCr and HSV: RGB;
- transparency, in any of them: laid over white;
- a rotation noted by the camera: done; of several frames: the first.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nextpixel.data.dataset import Parts, Split
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What pillow lets through of its readers.
_DAMAGE = (OSError, EOFError, SyntaxError, TypeError, ValueError, struct.error, Image.DecompressionBombError)


def read_folder(path: Path) -> Parts:
    """Read every image below a folder into memory.

    Raises:
        BadInput: no images, a damaged image, images of different sizes or channels, or class folders that do not match.
    """
    folders = _split_folders(path)
    classes = _class_names(folders["train"])
    files = {split: _image_files(folder) for split, folder in folders.items()}
    first = files["train"][0]
    example = read_image(first)
    splits = {
        split: Split(
            _read_alike(files[split], first, example), _labels(files[split], folder, classes) if classes else None
        )
        for split, folder in folders.items()
    }
    return Parts(
        ImageSpec(*example.shape, levels=256),
        len(classes) or None,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
    )


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


def _class_names(folder: Path) -> list[str]:
    """Name the sub-folders that have images; one alone is no class."""
    names = sorted(below.name for below in _subfolders(folder) if any(_images_below(below)))
    return names if len(names) >= 2 else []


def _image_files(folder: Path) -> list[Path]:
    files = sorted(_images_below(folder))
    if not files:
        raise BadInput(f"{folder} has no images in it ({', '.join(IMAGE_SUFFIXES)}).")
    return files


def _images_below(folder: Path) -> list[Path]:
    return [
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]


def _subfolders(folder: Path) -> list[Path]:
    return [below for below in folder.iterdir() if below.is_dir() and not below.name.startswith(".")]


def _read_alike(files: Sequence[Path], first: Path, example: np.ndarray) -> np.ndarray:
    images = np.empty((len(files), *example.shape), np.uint8)
    for index, file in enumerate(files):
        image = read_image(file)
        if image.shape != example.shape:
            raise BadInput(f"{file} is {_size(image)}, but {first} is {_size(example)}; all images must be alike.")
        images[index] = image
    return images


def _size(image: np.ndarray) -> str:
    channels, height, width = image.shape
    return f"{width}x{height} in {'grey' if channels == 1 else 'colour'}"


def _labels(files: Sequence[Path], folder: Path, classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    for file in files:
        if file.relative_to(folder).parts[0] not in numbers:
            raise BadInput(f"{file} is in none of the class folders {', '.join(classes)}.")
    return np.array([numbers[file.relative_to(folder).parts[0]] for file in files], np.int64)
