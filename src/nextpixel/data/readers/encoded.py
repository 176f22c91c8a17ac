"""Pictures that are encoded, as PNG or JPEG for one, wherever their bytes are.

How pixels become levels (see `levels`):

- grey, RGB: as they are, 1 or 3 channels; 1 bit: levels 0 and 255 of grey (`bits=1` makes that two levels);
- palette (so every GIF, grey or not), CMYK, YCbCr and HSV: RGB;
- transparency, in any of them: laid over white;
- a rotation noted by the camera: done; of several frames: the first;
- then what `size`, `fit` and `channels` ask for.

Sets of more than 1 GiB of levels are read image by image, when a batch is asked for.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.lazy import Lazy, contents, number_of
from nextpixel.data.readers.damage import Damaged, told
from nextpixel.data.readers.levels import Levels, check_levels, find_levels
from nextpixel.data.readers.options import MOST_IN_MEMORY, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

Bytes: TypeAlias = BufferedReader | BytesIO

_SAMPLE = 500  # images that are looked at where they stay on disk


class Source(ABC):
    """Encoded pictures in a fixed order."""

    what: object  # for sentences

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> object:
        """What sentences call one of them."""

    @abstractmethod
    def open(self, index: int) -> Bytes:
        """The bytes of one of them, from their beginning."""


def decode(
    sources: Mapping[str, Source],
    options: Options,
    labels: Mapping[str, np.ndarray] | None = None,
    classes: int | None = None,
    names: Sequence[str] | None = None,
    notes: Iterable[str] = (),
) -> Parts:
    """Make images of the pictures of each split, in memory if they are not too many.

    Args:
        labels: of the pictures, int64, shape (N,); a split may have none.
        classes: how many they number, and their names.
        notes: to be told before those of this function.
    """
    pictures = {split: _Pictures(source, options) for split, source in sources.items()}
    example, first = pictures["train"].find_example()
    for some in pictures.values():
        some.example, some.first = example, first
    stay = sum(map(len, pictures.values())) * example.nbytes > MOST_IN_MEMORY
    if stay and options.damaged == "refuse":  # a sample will do, and none is needed where it is said what they hold
        scans = {} if options.levels else {"train": pictures["train"].scan(_SAMPLE)}
    else:
        scans = {split: some.scan(keep=not stay) for split, some in pictures.items()}
    seen = [pixels for ranges, _ in scans.values() for pixels in ranges]
    meant = understood(seen or [example], sources["train"].what, options)
    splits: dict[str, Any] = {}
    for split, some in pictures.items():
        some.meant, every = meant, np.arange(len(some))
        own = labels[split][some.files] if labels and split in labels else None
        images = some if stay else some.levels(scans[split][1], every)
        splits[split] = Split(images, own, marks=None if stay else some.contents(every))
    if not stay:
        splits = _marked(splits)
    lost = [name for some in pictures.values() for name in some.damaged]
    spec = ImageSpec(*example.shape, levels=meant.count, ordinal=options.ordinal)
    said = (*notes, *_notes(lost, meant))
    return Parts(spec, classes, **splits, class_names=tuple(names) if names else None, notes=said)


class _Pictures(Lazy):
    """Decoded and fitted, all of them like the first one of the training images."""

    def __init__(self, source: Source, options: Options) -> None:
        self._source, self._options = source, options
        self.damaged: list[str] = []  # those that could not be read, where such are skipped
        self.meant: Levels | None = None  # what pixels mean
        self.example, self.first = np.empty(0, np.uint8), source.what  # pixels that the others must be like, and whose
        self.files, self._tiles = np.arange(len(source)), np.zeros(len(source), np.int64)
        if options.fit == "tiles":
            counts = [options.fitting.count(*self._size(file)) for file in range(len(source))]
            self.files = self.files.repeat(counts)
            self._tiles = np.concatenate([np.arange(count) for count in counts])
            if not len(self.files):
                raise BadInput(f"{source.what} has no image as large as a tile of size={options.size}.")
        self._last: tuple[int, np.ndarray] | None = None  # the tiles of a file come one after the other

    def __len__(self) -> int:
        return len(self.files)

    def find_example(self) -> tuple[np.ndarray, object]:
        """The pixels of the first image that can be read, and what it is called."""
        for index in range(len(self)):
            if (image := self._read(index)) is not None:
                return image, self._name(index)
        raise BadInput(f"{self._source.what} has no image that can be read.")

    def scan(self, most: int | None = None, *, keep: bool = False) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Look at all images, leaving out those that cannot be read, or at about so many, evenly spaced.

        Returns the least and the greatest pixel of each, and the images where they are to be kept.
        """
        ranges, images, there = [], [], []
        for index in range(0, len(self), max(1, len(self) // most) if most else 1):
            if (pixels := self._alike(index)) is not None:
                ranges.append(np.array([pixels.min(), pixels.max()]))
                images += [pixels] if keep else []
                there.append(index)
        if most is None:
            self.files, self._tiles = self.files[there], self._tiles[there]
        return ranges, images

    def read(self, indices: np.ndarray) -> np.ndarray:
        return self.levels((self._alike(int(index)) for index in indices), indices)

    def levels(self, pixels: Iterable[np.ndarray | None], indices: np.ndarray) -> np.ndarray:
        """The levels that the pixels of these images mean, shape (N, C, H, W)."""
        assert self.meant is not None
        images = np.empty((len(indices), *self.example.shape), np.min_scalar_type(self.meant.count - 1))
        for place, (index, some) in enumerate(zip(indices, pixels, strict=True)):
            if some is None:
                raise Damaged(f"{self._name(int(index))} cannot be read any more.")
            shifted = some if some.dtype == np.uint8 else some >> self.meant.shift
            check_levels(self.meant.count, 0, int(shifted.max()), self._name(int(index)))
            images[place] = shifted
        return images

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return np.array([number_of(self._bytes(int(index))) for index in indices], np.uint64)

    def _name(self, index: int) -> object:
        return self._source.name(int(self.files[index]))

    def _bytes(self, index: int) -> bytes:
        with self._source.open(int(self.files[index])) as file:
            return file.read()

    def _size(self, file: int) -> tuple[int, int]:
        """Rows and columns, from the header; zeros where there is none that can be read."""
        with suppress(Damaged), told(file), self._source.open(file) as stream, Image.open(stream) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return picture.size if turned else (picture.height, picture.width)
        return 0, 0

    def _alike(self, index: int) -> np.ndarray | None:
        image = self._read(index)
        if image is not None and image.shape != self.example.shape:
            unlike = f"{self._name(index)} is {_kind(image)}, but {self.first} is {_kind(self.example)}"
            raise BadInput(
                f"{unlike}; all images must be alike: give data.size, such as 32 (with data.fit crop, pad, stretch or "
                "tiles), and data.channels, 1 or 3."
            )
        return image

    def _read(self, index: int) -> np.ndarray | None:
        """The pixels of an image, shape (C, H, W); None where its file is damaged and such are skipped."""
        file, last = int(self.files[index]), self._last
        if last is None or last[0] != file:  # threads may read at once, so that it is looked at but once
            name = self._source.name(file)
            try:
                with told(name), self._source.open(file) as stream:
                    last = self._last = file, self._options.fitting(read_pixels(stream, name))
            except Damaged as error:
                if self._options.damaged == "refuse":
                    raise Damaged(f"{str(error).rstrip('.')}; data.damaged=skip leaves such files out.") from error
                if str(name) not in self.damaged:
                    self.damaged.append(str(name))
                return None
        return last[1][self._tiles[index]]


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


def read_pixels(file: Path | Bytes, name: object) -> np.ndarray:
    """Pixels of one picture, uint8 or, of more than eight bits, uint16; shape (C, H, W), C being 1 or 3."""
    with opened(file, name) as (kind, picture):
        if picture.mode.startswith(("F", "I")):  # wider values, as they are
            picture.load()
        else:
            grey = picture.mode in ("1", "L", "LA") and kind != "GIF"  # pillow opens some GIFs as grey
            if picture.has_transparency_data:
                above = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
            picture = picture.convert("L" if grey else "RGB")
    pixels = np.asarray(picture)
    if picture.mode == "F":
        raise BadInput(f"{name} has floating-point pixels; images must have integer levels.")
    if picture.mode.startswith("I"):
        if pixels.min() < 0 or pixels.max() >= 2**16:
            raise BadInput(f"{name} has pixels from {pixels.min()} to {pixels.max()}, more than 16 bits hold.")
        pixels = pixels.astype(np.uint16)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


@contextmanager
def opened(file: Path | Bytes, name: object) -> Generator[tuple[str | None, Image.Image]]:
    """The kind of an encoded picture, and its picture the right way up; what is wrong with either is a sentence."""
    with told(name, "cannot be read as an image"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as picture:
                yield picture.format, ImageOps.exif_transpose(picture)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError(str(error)) from error


def understood(seen: Sequence[np.ndarray], what: object, options: Options) -> Levels:
    """What pixels mean."""
    kind = "byte" if all(pixels.dtype == np.uint8 for pixels in seen) else "word"
    lowest, highest = int(min(map(np.min, seen))), int(max(map(np.max, seen)))
    return find_levels(kind, lowest, highest, what, asked=options.levels, like=options.like)


def _notes(lost: Sequence[str], meant: Levels) -> Iterator[str]:
    if lost:
        yield f"damaged files left out: {len(lost)} ({', '.join(lost[:3])}{', …' if len(lost) > 3 else ''})"
    if meant.note:
        yield meant.note


def _kind(image: np.ndarray) -> str:
    channels, height, width = image.shape
    return f"{width}x{height} in {'grey' if channels == 1 else 'colour'}"
