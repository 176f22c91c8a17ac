"""Folders of image files, and single ones.

Sub-folders that are called after splits, in the usual words, are splits: train, training; validation, valid, val, dev;
test, testing; in small or capital letters. Sub-folders of a split, two or more, are classes, matched by name. Files go
by the alphabet. Folders of more than 1 GiB of levels are read image by image, when a batch is asked for. How pixels
become levels (how many there are, see `depth`):

- grey, RGB: as they are, 1 or 3 channels; 1 bit: levels 0 and 255 of grey (`bits=1` makes that two levels);
- palette (so every GIF, grey or not), CMYK, YCbCr and HSV: RGB;
- transparency, in any of them: laid over white;
- a rotation noted by the camera: done; of several frames: the first;
- then what `size`, `fit` and `channels` ask for.
"""

import os
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.lazy import Lazy, contents, number_of
from nextpixel.data.readers.depth import Depth, depth
from nextpixel.data.readers.naming import split_called
from nextpixel.data.readers.options import SPLITS, UNSAID, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_IN_MEMORY = 2**30  # bytes of levels, of all splits of a folder
_LOOKED_AT = 256  # images that tell the levels of those that stay on disk
# What pillow lets through of its readers; a bomb of pixels is a warning before it is an error.
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read_folder(path: Path, options: Options = UNSAID) -> Parts:
    """Read every image below a folder, into memory if they are not too many.

    Raises:
        BadInput: no images, a damaged image, images of different sizes or channels, sub-folders that could mean two
            things, or class folders that do not match. A large folder's images say so only when they are read.
    """
    options.refuse(f"{path}, a folder of images", "ordinal", "layout", "first_label")
    return read_folders(_split_folders(path, options), options)


def read_folders(folders: Mapping[str, Path], options: Options = UNSAID) -> Parts:
    """The same for folders anywhere: that of the split `train`, and of `validation` and `test` where there are any."""
    skipped: Counter[str] = Counter()
    names = {split: _image_names(folder, skipped) for split, folder in folders.items()}
    classes = _class_names(names["train"])
    pictures = {split: _Pictures(folder, names[split], options) for split, folder in folders.items()}
    example, first = pictures["train"].find_example()
    for some in pictures.values():
        some.example, some.first = example, first
    stay = sum(map(len, pictures.values())) * example.nbytes > MOST_IN_MEMORY
    images = {} if stay else {split: some.whole() for split, some in pictures.items()}
    looked = [example] if options.levels else [_looked_at(some) for some in pictures.values()]
    looked = list(images.values()) or looked
    low, high = min(int(some.min()) for some in looked), max(int(some.max()) for some in looked)
    meant = depth(low, high, example.dtype, options, str(folders["train"]), pictures=True)
    splits: dict[str, Any] = {}
    for split, folder in folders.items():
        some = pictures[split]
        labels = _labels(folder, [names[split][int(file)] for file in some.files], classes) if classes else None
        some.meant = meant
        marks = None if stay else some.contents(np.arange(len(some)))
        splits[split] = Split(some if stay else some.levels(images[split]), labels, marks=marks)
    if not stay:
        splits = _marked(splits)
    lost = [name for some in pictures.values() for name in some.damaged]
    return Parts(
        ImageSpec(*example.shape, levels=meant.levels),
        len(classes) or None,
        **splits,
        class_names=tuple(classes) or None,
        notes=tuple(_notes(skipped, lost, meant)),
    )


def read_picture(path: Path, options: Options = UNSAID) -> Parts:
    """Read one image file, as a source of one image, or of its tiles.

    Raises:
        BadInput: as `read_folder`.
    """
    options.refuse(f"{path}, an image", "ordinal", "layout", "first_label", "splits")
    images = options.fitting(read_image(path))
    if not len(images):
        raise BadInput(f"{path} is smaller than a tile of size={options.size}.")
    meant = depth(int(images.min()), int(images.max()), images.dtype, options, str(path), pictures=True)
    levels = (images >> meant.shift).astype(np.min_scalar_type(meant.levels - 1))
    return Parts(
        ImageSpec(*images.shape[1:], levels=meant.levels), None, Split(levels), notes=tuple(_notes({}, [], meant))
    )


class _Pictures(Lazy):
    """Image files, fitted, all of them like the first one of the training images.

    Args:
        folder: where they are.
        names: of the files below it. Text, not paths: there may be millions.
        options: what the user says of them.

    Attributes:
        example: pixels that the others must be like, shape (C, H, W).
        first: their file.
        meant: what pixels mean; None for what they are.
        damaged: files that could not be read, where such are skipped.
    """

    def __init__(self, folder: Path, names: Sequence[str], options: Options) -> None:
        self._folder, self._names, self._options = folder, names, options
        self.damaged: list[str] = []
        self.meant: Depth | None = None
        self.example, self.first = np.empty(0, np.uint8), folder
        self.files, self._tiles = np.arange(len(names)), np.zeros(len(names), np.int64)
        if options.fit == "tiles":
            counts = [options.fitting.count(*_size_of(folder / name)) for name in names]
            self.files = np.arange(len(names)).repeat(counts)
            self._tiles = np.concatenate([np.arange(count) for count in counts])
            if not len(self.files):
                raise BadInput(f"{folder} has no image as large as a tile of size={options.size}.")
        self._last: tuple[int, np.ndarray] | None = None  # the tiles of a file come one after the other

    def __len__(self) -> int:
        return len(self.files)

    def find_example(self) -> tuple[np.ndarray, Path]:
        """The pixels of the first image that can be read, and its file."""
        for index in range(len(self)):
            if (image := self._read(index)) is not None:
                return image, self._file(index)
        raise BadInput(f"{self._folder} has no image that can be read.")

    def whole(self) -> np.ndarray:
        """The pixels of all images that can be read; the others are not of this source any more."""
        images, kept = np.empty((len(self), *self.example.shape), self.example.dtype), []
        for index in range(len(self)):
            if (image := self._alike(index)) is not None:
                images[len(kept)] = image
                kept.append(index)
        self.files, self._tiles = self.files[kept], self._tiles[kept]
        return images[: len(kept)]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """In place of an image that is damaged and skipped stands the next one."""
        images = np.empty((len(indices), *self.example.shape), self.example.dtype)
        for place, index in enumerate(indices):
            tried = ((int(index) + step) % len(self) for step in range(len(self)))
            images[place] = next(image for other in tried if (image := self._alike(other)) is not None)
        return self.levels(images)

    def levels(self, images: np.ndarray) -> np.ndarray:
        """Pixels as levels."""
        if self.meant is None:
            return images
        levels = images >> self.meant.shift
        if levels.size and levels.max() >= self.meant.levels:
            raise BadInput(
                f"{self._folder} has a pixel of {images.max()}, beyond the {self.meant.levels} levels of the others; "
                "give data.levels."
            )
        return levels.astype(np.min_scalar_type(self.meant.levels - 1))

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return np.array([number_of(self._file(int(index)).read_bytes()) for index in indices], np.uint64)

    def _file(self, index: int) -> Path:
        return self._folder / self._names[int(self.files[index])]

    def _alike(self, index: int) -> np.ndarray | None:
        image = self._read(index)
        if image is not None and (image.shape, image.dtype) != (self.example.shape, self.example.dtype):
            unlike = f"{self._file(index)} is {_kind(image)}, but {self.first} is {_kind(self.example)}"
            raise BadInput(
                f"{unlike}; all images must be alike: give data.size, such as 32 (with data.fit crop, pad, stretch or "
                "tiles), and data.channels, 1 or 3."
            )
        return image

    def _read(self, index: int) -> np.ndarray | None:
        """The pixels of an image, shape (C, H, W); None where its file is damaged and such are skipped."""
        file = int(self.files[index])
        if self._last is None or self._last[0] != file:
            try:
                self._last = file, self._options.fitting(read_image(self._folder / self._names[file]))
            except BadInput as error:
                if self._options.damaged == "refuse":
                    raise BadInput(f"{str(error).rstrip('.')}; data.damaged=skip leaves such files out.") from error
                if self._names[file] not in self.damaged:
                    self.damaged.append(self._names[file])
                return None
        return self._last[1][self._tiles[index]]


def _marked(splits: Mapping[str, Split]) -> dict[str, Any]:
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
    """Pixels of one file, uint8 or, of more than eight bits, uint16; shape (C, H, W), C being 1 or 3.

    Raises:
        BadInput: not an image, damaged, of a kind without levels, or with more pixels than pillow trusts.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
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
        pixels = pixels.astype(np.uint16)
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


def _size_of(path: Path) -> tuple[int, int]:
    """Rows and columns, from the file's header; zeros where it has none that can be read."""
    try:
        with Image.open(path) as opened:
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return opened.size if turned else (opened.height, opened.width)
    except _DAMAGE:
        return 0, 0


def _looked_at(images: _Pictures) -> np.ndarray:
    return images[np.unique(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(np.int64))]


def _split_folders(path: Path, options: Options) -> dict[str, Path]:
    try:
        inside = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from error
    if options.splits is not None:
        for name in options.splits.values():
            if not (path / name).is_dir():
                raise BadInput(f"{path} has no folder {name!r}, which data.splits names; it has {', '.join(inside)}.")
        return {split: path / name for split, name in options.splits.items()} or {"train": path}
    found: dict[str, str] = {}
    for name in inside:
        if (split := split_called(name)) is not None:
            if split in found:
                raise BadInput(f"{path} has folders {found[split]} and {name}, which mean the same; give data.splits.")
            found[split] = name
    if not found:
        return {"train": path}
    ways = "data.splits={} if all folders are classes, or for example data.splits={train: NAME, test: NAME}"
    if "train" not in found:
        raise BadInput(f"{path} has a folder {', '.join(found.values())}, but no folder train; give {ways}.")
    others = [name for name in inside if name not in found.values() and any(_files_below(path / name))]
    if others:
        raise BadInput(f"{path} has {found['train']} beside {', '.join(others[:5])}: a split or a class? Give {ways}.")
    return {split: path / found[split] for split in SPLITS if split in found}


def _class_names(names: Sequence[str]) -> list[str]:
    """The sub-folders that have images; one alone is no class."""
    found = sorted({name.partition("/")[0] for name in names if "/" in name})
    return found if len(found) >= 2 else []


def _image_names(folder: Path, skipped: Counter[str]) -> list[str]:
    """Names of image files in their order; the others are counted by their suffix."""
    names = []
    for name in _files_below(folder):
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - of a text
        if suffix in IMAGE_SUFFIXES:
            names.append(name)
        else:
            skipped[suffix or "no suffix"] += 1
    if not names:
        there = f"only {_counted(skipped)}" if skipped else "nothing"
        raise BadInput(f"{folder} has no images in it ({', '.join(IMAGE_SUFFIXES)}), but {there}.")
    return sorted(names, key=lambda name: name.replace("/", "\0"))  # folder by folder


def _files_below(folder: str | Path, within: str = "") -> Iterator[str]:
    """Names relative to the folder, with slashes, in any order; what begins with a dot is left alone."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=not within):  # deeper links may lead in a circle
                yield from _files_below(entry.path, f"{within}{entry.name}/")
            elif entry.is_file():
                yield f"{within}{entry.name}"


def _notes(skipped: Mapping[str, int], lost: Sequence[str], meant: Depth) -> Iterator[str]:
    if skipped:
        yield f"skipped {sum(skipped.values())} files that are no images: {_counted(skipped)}"
    if lost:
        yield f"skipped {len(lost)} damaged files: {', '.join(lost[:3])}{', …' if len(lost) > 3 else ''}"
    if meant.note:
        yield meant.note


def _counted(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(skipped.items()))


def _kind(image: np.ndarray) -> str:
    channels, height, width = image.shape
    bits = ", 16 bits" if image.dtype == np.uint16 else ""
    return f"{width}x{height} in {'grey' if channels == 1 else 'colour'}{bits}"


def _labels(folder: Path, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    for name in names:
        if name.partition("/")[0] not in numbers:
            raise BadInput(f"{folder / name} is in none of the class folders {', '.join(classes)}.")
    return np.array([numbers[name.partition("/")[0]] for name in names], np.int64)
