"""Pictures that are encoded, as PNG or JPEG for one, wherever their bytes are; see `levels` for what pixels mean.

Grey and RGB are taken as they are, 1 bit as levels 0 and 255 of grey (`bits=1` makes that two), palettes (so every GIF,
grey or not), CMYK, YCbCr and HSV as RGB, transparency is laid over white, a rotation noted by the camera is done, and
of several frames the first is taken; then comes what `size`, `fit` and `channels` ask for. Sets of more than 1 GiB of
levels are read image by image, when a batch is asked for.
"""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.lazy import Lazy, choose, contents, number_of
from nextpixel.data.readers.levels import Levels, check_levels, find_levels
from nextpixel.data.readers.options import MOST_IN_MEMORY, Options
from nextpixel.errors import BadInput, Damaged, told
from nextpixel.spec import ImageSpec

Bytes: TypeAlias = BufferedReader | BytesIO
# Of the pictures of each split, int64, shape (N,), though a split may have none; how many classes they number, and the
# names of these. `number_labels` makes them.
Labels: TypeAlias = tuple[Mapping[str, np.ndarray], int | None, tuple[str, ...] | None]

_SAMPLE = 500  # images that are looked at where they stay on disk


@dataclass(frozen=True)
class Source:
    """Encoded pictures in a fixed order: what sentences call all of them and each, and what opens the bytes of one."""

    what: object
    count: int
    name: Callable[[int], object]
    open: Callable[[int], Bytes]


def decode(
    sources: Mapping[str, Source],
    options: Options,
    labels: Labels = ({}, None, None),
    notes: Iterable[str] = (),
) -> Parts:
    """Make images of the pictures of each split, in memory if they are not too many; `notes` are told first."""
    numbers, classes, names = labels
    sources = {"train": sources["train"], **sources}  # so that the others must be like an image to learn from
    pictures = _Pictures([*sources.values()], options)
    stay = pictures.nbytes > MOST_IN_MEMORY
    every = not stay or options.damaged == "skip"
    some = len(pictures) if every else 1 if options.levels else _SAMPLE  # are looked at, evenly spaced
    ranges, kept, there = list[np.ndarray](), list[np.ndarray](), list[int]()
    for index, pixels in pictures.readable(max(1, len(pictures) // some)):
        ranges.append(np.array([pixels.min(), pixels.max()]))
        kept += [] if stay else [pixels]
        there.append(index)
    if every:
        pictures.keep(there)
    seen, what = np.concatenate(ranges), sources["train"].what
    kind = "byte" if seen.dtype == np.uint8 else "word"
    meant = find_levels(kind, int(seen.min()), int(seen.max()), what, asked=options.levels, like=options.like)
    pictures.meant = meant
    kept = [pictures.levels(index, pixels) for index, pixels in enumerate(kept)]
    marks = None
    if not stay:  # images of the same levels get the same mark, the lowest of their files' numbers, also across splits
        _, alike = np.unique(contents(kept), return_inverse=True)
        lowest = np.full(len(kept), np.iinfo(np.uint64).max)
        np.minimum.at(lowest, alike, pictures.contents(np.arange(len(kept))))
        marks = lowest[alike]
    splits: dict[str, Any] = {}
    for split, (own, files) in zip(sources, pictures.spans("that can be read"), strict=True):
        splits[split] = Split(
            choose(pictures, own) if stay else np.stack(kept[own]),
            numbers[split][files] if split in numbers else None,
            marks=None if marks is None else marks[own],
            files=None if stay else np.array([str(sources[split].name(int(file))) for file in files]),
        )
    spec = ImageSpec(*pictures.shape, levels=meant.count, ordinal=options.ordinal)
    if lost := [*pictures.damaged]:
        notes = *notes, f"damaged files left out: {len(lost)} ({', '.join(lost[:3])}{', …' if len(lost) > 3 else ''})"
    return Parts(spec, classes, **splits, class_names=names, notes=(*notes, *meant.notes))


class _Pictures(Lazy):
    """Decoded and fitted, those of one source after those of another, all of them like the first one."""

    meant: Levels  # what pixels mean
    shape: tuple[int, ...] = ()  # of each, (C, H, W), once one was read

    def __init__(self, sources: Sequence[Source], options: Options) -> None:
        self._sources, self._options = sources, options
        self.damaged: dict[str, None] = {}  # the names of those that could not be read, where such are skipped
        self._starts = np.cumsum([0, *(source.count for source in sources)])
        self._files, self._tiles = np.arange(self._starts[-1]), np.zeros(self._starts[-1], np.int64)
        self._last: tuple[int, np.ndarray] | None = None  # the tiles of a file come one after the other
        if options.fit == "tiles":
            counts = [options.fitting.count(*self._size(file)) for file in range(len(self))]
            self._files = self._files.repeat(counts)
            self._tiles = np.concatenate([np.arange(count) for count in counts])
            self.spans(f"as large as a tile of size={options.size}")
        first = next(self.readable(), None)
        if first is None:
            raise BadInput(f"{sources[0].what} has no image that can be read.")
        self.nbytes = len(self) * first[1].nbytes

    def __len__(self) -> int:
        return len(self._files)

    def spans(self, which: str) -> list[tuple[slice, np.ndarray]]:
        """Where the images of each source are, and the numbers of their files in it; none is without an image."""
        ends, spans = np.searchsorted(self._files, self._starts), list[tuple[slice, np.ndarray]]()
        for number, source in enumerate(self._sources):
            own = slice(ends[number], ends[number + 1])
            if own.start == own.stop:
                raise BadInput(f"{source.what} has no image {which}.")
            spans.append((own, self._files[own] - self._starts[number]))
        return spans

    def readable(self, step: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Every so many images, with their indices, but for damaged ones where such are skipped."""
        for index in range(0, len(self), step):
            try:
                yield index, self._read(index)
            except Damaged as error:
                if self._options.damaged == "refuse":
                    way = "; data.damaged=skip leaves such files out" if len(self) > 1 else ""
                    raise Damaged(f"{str(error).rstrip('.')}{way}.") from error
                self.damaged[str(self._at(index)[0])] = None

    def keep(self, indices: list[int]) -> None:
        """Leave the others out."""
        self._files, self._tiles = self._files[indices], self._tiles[indices]

    def read(self, indices: np.ndarray) -> np.ndarray:
        images = np.empty((len(indices), *self.shape), np.min_scalar_type(self.meant.count - 1))
        for place, index in enumerate(indices.tolist()):
            images[place] = self.levels(index, self._read(index))
        return images

    def levels(self, index: int, pixels: np.ndarray) -> np.ndarray:
        """The levels that the pixels of an image mean, shape (C, H, W)."""
        levels = pixels if pixels.dtype == np.uint8 else pixels >> self.meant.shift
        check_levels(self.meant.count, 0, int(levels.max()), self._at(index)[0])
        return levels.astype(np.min_scalar_type(self.meant.count - 1), copy=False)

    def contents(self, indices: np.ndarray) -> np.ndarray:
        numbers = np.empty(len(indices), np.uint64)
        for place, index in enumerate(indices.tolist()):
            with self._at(index)[1]() as file:
                numbers[place] = number_of(file.read())
        return numbers

    def _at(self, index: int) -> tuple[object, Callable[[], Bytes]]:
        """What sentences call the file of an image, and what opens it."""
        file = self._files[index]
        number = int(np.searchsorted(self._starts, file, side="right")) - 1
        source, own = self._sources[number], int(file - self._starts[number])
        return source.name(own), partial(source.open, own)

    def _size(self, index: int) -> tuple[int, int]:
        """Rows and columns, from the header of a file; zeros where there is none that can be read."""
        name, opens = self._at(index)
        with suppress(Damaged), told(name), opens() as stream, Image.open(stream) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return picture.size if turned else (picture.height, picture.width)
        return 0, 0

    def _read(self, index: int) -> np.ndarray:
        """The pixels of an image, shape (C, H, W)."""
        file, last = int(self._files[index]), self._last
        name, opens = self._at(index)
        if last is None or last[0] != file:  # threads may read at once, so that it is looked at but once
            with told(name), opens() as stream:
                last = self._last = file, self._options.fitting(read_pixels(stream, name))
        image = last[1][self._tiles[index]]
        if not self.shape:
            self.shape, self._like = image.shape, name
        if image.shape != self.shape:
            raise BadInput(
                f"{name} is {_kind(image.shape)}, but {self._like} is {_kind(self.shape)}; all images must be alike: "
                "give data.size, such as 32 (with data.fit crop, pad, stretch or tiles), and data.channels, 1 or 3."
            )
        return image


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


def _kind(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width}x{height} in {'grey' if channels == 1 else 'colour'}"
