"""Pictures that are encoded, as PNG or JPEG for one, wherever their bytes are; see `levels` for what pixels mean.

Grey and RGB are taken as they are, 1 bit as levels 0 and 255 of grey (`bits=1` makes that two), palettes (so every GIF,
grey or not), CMYK, YCbCr and HSV as RGB, transparency is laid over white, a rotation noted by the camera is done, and
of several frames the first is taken; then comes what `size`, `fit` and `channels` ask for. Sets of more than 1 GiB of
levels are read image by image, when a batch is asked for.
"""

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps

from nextpixel.data.dataset import Parts, Split, evenly
from nextpixel.data.lazy import Lazy, contents, number_of
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


@dataclass
class _Alike:
    """What all pictures of a data set have in common, as it is found out; and which of them are left out."""

    shape: tuple[int, ...] = ()  # (C, H, W)
    first: object = ""  # what sentences call the first one, which all others must be like
    meant: Levels = field(init=False)  # what pixels mean
    wide: bool = False  # whether pixels of 16 bits are taken as they are, and of 8 bits would be something else
    damaged: dict[str, None] = field(default_factory=dict[str, None])  # the names of files that could not be read


def decode(
    sources: Mapping[str, Source],
    options: Options,
    labels: Labels = ({}, None, None),
    notes: Iterable[str] = (),
    lost: list[str] | None = None,
) -> Parts:
    """Make images of the pictures of each split, in memory if they are not too many; `notes` are told first.

    The names of damaged ones that are skipped are added to `lost`, if that is given.
    """
    numbers, classes, names = labels
    alike = _Alike()
    pictures = {split: _Pictures(sources[split], options, alike) for split in dict.fromkeys(["train", *sources])}
    first = next(pictures["train"].readable(np.arange(len(pictures["train"]))), (0, np.empty(0)))[1]
    stay = sum(map(len, pictures.values())) * first.nbytes > MOST_IN_MEMORY
    every = not stay or options.damaged == "skip"
    ranges, kept = list[np.ndarray](), {split: list[np.ndarray]() for split in pictures}
    for split, some in pictures.items():
        there, most = list[int](), len(some) if every else 1 if options.levels else _SAMPLE  # are looked at
        for index, pixels in some.readable(evenly(len(some), most)):
            ranges.append(np.array([pixels.min(), pixels.max()]))
            kept[split] += [] if stay else [pixels]
            there.append(index)
        if every:
            some.files, some.tiles = some.files[there], some.tiles[there]
        if not len(some):
            which = f"as large as a tile of size={options.size}" if options.fit == "tiles" else "that can be read"
            raise BadInput(f"{some.source.what} has no image {which}.")
    seen, what = np.concatenate(ranges), sources["train"].what
    kind = "picture" if seen.dtype == np.uint8 else "word"
    like = options.like.get("levels")
    alike.meant = find_levels(kind, int(seen.min()), int(seen.max()), what, asked=options.levels, like=like)
    alike.wide = kind == "word" and alike.meant.count > 256
    splits: dict[str, Any] = {}
    for split, some in pictures.items():
        images = some if stay else np.stack([some.levels(*each) for each in enumerate(kept.pop(split))])
        files = None if stay else np.array([str(some.source.name(int(file))) for file in some.files])
        splits[split] = Split(images, numbers[split][some.files] if split in numbers else None, files=files)
    if not stay:  # images of the same levels get the same mark, the lowest of their files' numbers, also across splits
        _, same = np.unique(np.concatenate([contents(split.images) for split in splits.values()]), return_inverse=True)
        lowest = np.full(len(same), np.iinfo(np.uint64).max)
        np.minimum.at(lowest, same, np.concatenate([contents(some) for some in pictures.values()]))
        marks = np.split(lowest[same], np.cumsum([*map(len, splits.values())]))
        splits = {name: replace(split, marks=own) for (name, split), own in zip(splits.items(), marks, strict=False)}
    if damaged := [*alike.damaged]:
        some = f"{', '.join(damaged[:3])}{', …' if len(damaged) > 3 else ''}"
        notes = *notes, f"damaged files left out: {len(damaged)} ({some})"
    if lost is not None:
        lost += damaged
    spec = ImageSpec(*alike.shape, levels=alike.meant.count, ordinal=options.ordinal)
    return Parts(spec, classes, **splits, class_names=names, notes=(*notes, *alike.meant.notes))


class _Pictures(Lazy):
    """Those of a source, decoded and fitted, or their tiles."""

    def __init__(self, source: Source, options: Options, alike: _Alike) -> None:
        self.source, self._options, self._alike = source, options, alike
        self.files, self.tiles = np.arange(source.count), np.zeros(source.count, np.int64)  # of each image
        self._last: tuple[int, np.ndarray] | None = None  # the tiles of a file come one after the other
        if options.fit == "tiles":
            counts = [options.count(*self._size(file)) for file in range(source.count)]
            self.files = self.files.repeat(counts)
            self.tiles = np.concatenate([np.arange(count) for count in counts])

    def __len__(self) -> int:
        return len(self.files)

    def readable(self, indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """These images with their indices, but for damaged ones where such are skipped."""
        for index in indices.tolist():
            try:
                yield index, self._read(index)
            except Damaged as error:
                if self._options.damaged == "refuse":
                    way = "; data.damaged=skip leaves such files out" if len(self) > 1 else ""
                    raise Damaged(f"{str(error).rstrip('.')}{way}.") from error
                self._alike.damaged[str(self.source.name(int(self.files[index])))] = None

    def read(self, indices: np.ndarray) -> np.ndarray:
        images = np.empty((len(indices), *self._alike.shape), np.min_scalar_type(self._alike.meant.count - 1))
        for place, index in enumerate(indices.tolist()):
            images[place] = self.levels(index, self._read(index))
        return images

    def levels(self, index: int, pixels: np.ndarray) -> np.ndarray:
        """The levels that the pixels of an image mean, shape (C, H, W)."""
        meant, name = self._alike.meant, self.source.name(int(self.files[index]))
        if self._alike.wide and pixels.dtype == np.uint8:
            raise BadInput(f"{name} has 8 bits, but others 16 and {meant.count} levels; store all of them alike.")
        levels = pixels if pixels.dtype == np.uint8 else pixels >> meant.shift
        check_levels(meant.count, 0, int(levels.max()), name)
        return levels.astype(np.min_scalar_type(meant.count - 1), copy=False)

    def contents(self, indices: np.ndarray) -> np.ndarray:
        numbers = np.empty(len(indices), np.uint64)
        for place, file in enumerate(self.files[indices].tolist()):
            with self.source.open(file) as stream:
                numbers[place] = number_of(stream.read())
        return numbers

    def _size(self, file: int) -> tuple[int, int]:
        """Rows and columns, from the header; zeros where there is none that can be read."""
        with suppress(Damaged), told(file), self.source.open(file) as stream, Image.open(stream) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return picture.size if turned else (picture.height, picture.width)
        return 0, 0

    def _read(self, index: int) -> np.ndarray:
        """The pixels of an image, shape (C, H, W)."""
        file, last, alike = int(self.files[index]), self._last, self._alike
        name = self.source.name(file)
        if last is None or last[0] != file:  # threads may read at once, so that it is looked at but once
            with told(name), self.source.open(file) as stream:
                last = self._last = file, self._options.fitted(read_pixels(stream, name))
        image = last[1][self.tiles[index]]
        if not alike.shape:
            alike.shape, alike.first = image.shape, name
        if image.shape != alike.shape:
            raise BadInput(
                f"{name} is {_kind(image.shape)}, but {alike.first} is {_kind(alike.shape)}; all images must be alike: "
                "data.size=32 or another makes them so (data.fit=pad, stretch or tiles how), and data.channels=3."
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
    if picture.mode.startswith(("F", "I")):
        if picture.mode == "F" or pixels.min() < 0 or pixels.max() >= 2**16:
            values = f"{pixels.dtype} pixels from {pixels.min()} to {pixels.max()}"
            raise BadInput(f"{name} has {values}, not whole numbers of 8 or 16 bits.")
        pixels = pixels.astype(np.uint16)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def left_out(file: Path) -> list[str]:
    """What of a picture its pixels do not tell."""
    with told(file, "cannot be read as an image"), Image.open(file) as picture:
        frames = getattr(picture, "n_frames", 1)
        taken = [f"the first of {frames} frames is taken"] * (frames > 1)
        return taken + ["transparency is laid over white"] * picture.has_transparency_data


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
