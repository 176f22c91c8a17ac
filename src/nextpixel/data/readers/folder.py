"""Folders of image files, and single ones.

Sub-folders that are called after splits, in the usual words, are splits: train, training; validation, valid, val, dev;
test, testing; in small or capital letters. Sub-folders of a split, two or more, are classes, matched by name. Files go
by the alphabet. Folders of more than 1 GiB of levels are read image by image, when a batch is asked for. How pixels
become levels (how many there are, see `levels`):

- grey, RGB: as they are, 1 or 3 channels; 1 bit: levels 0 and 255 of grey (`bits=1` makes that two levels);
- palette (so every GIF, grey or not), CMYK, YCbCr and HSV: RGB;
- transparency, in any of them: laid over white;
- a rotation noted by the camera: done; of several frames: the first;
- then what `size`, `fit` and `channels` ask for.
"""

import os
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.lazy import Lazy, contents, number_of
from nextpixel.data.readers.damage import Damaged, told
from nextpixel.data.readers.levels import Levels, check_levels, find_levels
from nextpixel.data.readers.options import MOST_IN_MEMORY, SPLIT_OF, SPLITS, UNSAID, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_SAMPLE = 500  # images that are looked at where they stay on disk


def read_folder(path: Path, options: Options = UNSAID) -> Parts:
    """Read every image below a folder, into memory if they are not too many."""
    options.refuse(f"{path}, a folder of images", "layout", "first_label")
    return read_folders(_split_folders(path, options.splits), options)


def read_folders(folders: Mapping[str, Path], options: Options = UNSAID) -> Parts:
    """The same for folders anywhere: that of the split `train`, and of `validation` and `test` where there are any."""
    skipped: Counter[str] = Counter()
    names = {split: _image_names(folder, skipped) for split, folder in folders.items()}
    below = sorted({name.partition("/")[0] for name in names["train"] if "/" in name})
    classes = below if len(below) >= 2 else []  # one sub-folder alone is no class
    pictures = {split: _Pictures(folder, names[split], options) for split, folder in folders.items()}
    example, first = pictures["train"].find_example()
    for some in pictures.values():
        some.example, some.first = example, first
    stay = sum(map(len, pictures.values())) * example.nbytes > MOST_IN_MEMORY
    if stay and options.damaged == "refuse":  # a sample will do, and none is needed where it is said what they hold
        scans = {} if options.levels else {"train": pictures["train"].scan(_SAMPLE)}
    else:
        scans = {split: some.scan(keep=not stay) for split, some in pictures.items()}
    seen = [pixels for ranges, _ in scans.values() for pixels in ranges]
    meant = _meant(seen or [example], folders["train"], options)
    splits: dict[str, Any] = {}
    for split, folder in folders.items():
        some = pictures[split]
        some.meant, every = meant, np.arange(len(some))
        labels = _labels(folder, [names[split][int(file)] for file in some.files], classes) if classes else None
        images = some if stay else some.levels(scans[split][1], every)
        splits[split] = Split(images, labels, marks=None if stay else some.contents(every))
    if not stay:
        splits = _marked(splits)
    lost = [name for some in pictures.values() for name in some.damaged]
    spec = ImageSpec(*example.shape, levels=meant.count, ordinal=options.ordinal)
    printable = tuple(os.fsencode(name).decode(errors="backslashreplace") for name in classes)  # of whatever bytes
    notes = tuple(_notes(skipped, lost, meant))
    return Parts(spec, len(classes) or None, **splits, class_names=printable or None, notes=notes)


def read_picture(path: Path, options: Options = UNSAID) -> Parts:
    """Read one image file, as a source of one image, or of its tiles."""
    options.refuse(f"{path}, an image", "layout", "first_label", "splits")
    images = options.fitting(read_pixels(path))
    if not len(images):
        raise BadInput(f"{path} is smaller than a tile of size={options.size}.")
    meant = _meant([images], path, options)
    levels = (images >> meant.shift).astype(np.min_scalar_type(meant.count - 1))
    spec = ImageSpec(*images.shape[1:], levels=meant.count, ordinal=options.ordinal)
    return Parts(spec, None, Split(levels), notes=tuple(_notes(Counter(), [], meant)))


class _Pictures(Lazy):
    """Image files, fitted, all of them like the first one of the training images."""

    def __init__(self, folder: Path, names: Sequence[str], options: Options) -> None:
        self._folder, self._names, self._options = folder, names, options  # names are text: there may be millions
        self.damaged: list[str] = []  # files that could not be read, where such are skipped
        self.meant: Levels | None = None  # what pixels mean
        self.example, self.first = np.empty(0, np.uint8), folder  # pixels that the others must be like, and their file
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
                raise BadInput(f"{self._file(int(index))} cannot be read any more.")
            shifted = some if some.dtype == np.uint8 else some >> self.meant.shift
            check_levels(self.meant.count, 0, int(shifted.max()), self._file(int(index)))
            images[place] = shifted
        return images

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return np.array([number_of(self._file(int(index)).read_bytes()) for index in indices], np.uint64)

    def _file(self, index: int) -> Path:
        return self._folder / self._names[int(self.files[index])]

    def _alike(self, index: int) -> np.ndarray | None:
        image = self._read(index)
        if image is not None and image.shape != self.example.shape:
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
            path = self._file(index)
            try:
                self._last = file, self._options.fitting(read_pixels(path))
            except Damaged as error:
                if self._options.damaged == "refuse":
                    raise BadInput(f"{str(error).rstrip('.')}; data.damaged=skip leaves such files out.") from error
                if str(path) not in self.damaged:
                    self.damaged.append(str(path))
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


def read_pixels(path: Path) -> np.ndarray:
    """Pixels of one file, uint8 or, of more than eight bits, uint16; shape (C, H, W), C being 1 or 3."""
    with opened(path) as (kind, picture):
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
        raise BadInput(f"{path} has floating-point pixels; images must have integer levels.")
    if picture.mode.startswith("I"):
        if pixels.min() < 0 or pixels.max() >= 2**16:
            raise BadInput(f"{path} has pixels from {pixels.min()} to {pixels.max()}, more than 16 bits hold.")
        pixels = pixels.astype(np.uint16)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


@contextmanager
def opened(path: Path) -> Generator[tuple[str | None, Image.Image]]:
    """The kind of an image file, and its picture the right way up; what is wrong with either is a sentence."""
    with told(path, "cannot be read as an image"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                yield picture.format, ImageOps.exif_transpose(picture)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError(str(error)) from error


def _size_of(path: Path) -> tuple[int, int]:
    """Rows and columns, from the file's header; zeros where it has none that can be read."""
    with suppress(Damaged), told(path), Image.open(path) as opened:
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return opened.size if turned else (opened.height, opened.width)
    return 0, 0


def _meant(seen: Sequence[np.ndarray], what: Path, options: Options) -> Levels:
    kind = "byte" if all(pixels.dtype == np.uint8 for pixels in seen) else "word"
    lowest, highest = int(min(map(np.min, seen))), int(max(map(np.max, seen)))
    return find_levels(kind, lowest, highest, what, asked=options.levels, like=options.like)


def _split_folders(path: Path, asked: Mapping[str, str] | None) -> dict[str, Path]:
    if asked is not None:
        for name in asked.values():
            if not (path / name).is_dir():
                raise BadInput(f"{path} has no folder {name}, which data.splits names.")
        return {split: path / name for split, name in asked.items()} or {"train": path}
    with told(path):
        folders = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    found: dict[str, str] = {}
    for name in folders:
        split = SPLIT_OF.get(name.lower())
        if split in found:
            raise BadInput(
                f"{path} has {found[split]} and {name} for {split}; data.splits={{train: …, {split}: …}} says which."
            )
        if split is not None:
            found[split] = name
    if found and "train" not in found:
        raise BadInput(
            f"{path} has a folder {next(iter(found.values()))}, but no folder train; data.splits={{train: NAME}} says "
            "which it is, data.splits={} that all are classes."
        )
    for name in folders:
        if found and name not in found.values() and any(_images_below(path / name, Counter())):
            raise BadInput(
                f"{path} has a folder {found['train']} and images in {name} beside it; data.splits={{}} says that all "
                f"are classes, data.splits={{train: {found['train']}}} that {name} is left alone."
            )
    return {split: path / found[split] for split in SPLITS if split in found} or {"train": path}


def _image_names(folder: Path, skipped: Counter[str]) -> list[str]:
    names = sorted(_images_below(folder, skipped), key=lambda name: name.replace("/", "\0"))  # folder by folder
    if not names:
        raise BadInput(f"{folder} has no images in it ({', '.join(IMAGE_SUFFIXES)}).")
    return names


def _images_below(folder: str | Path, skipped: Counter[str], within: str = "") -> Iterator[str]:
    """Names relative to the folder, with slashes, in any order; what else is there is counted by its kind."""
    with told(folder):
        entries = list(os.scandir(folder))
    for entry in entries:
        if entry.name.startswith("."):
            skipped["hidden"] += 1
        elif entry.is_dir(follow_symlinks=not within):  # deeper links may lead in a circle
            yield from _images_below(entry.path, skipped, f"{within}{entry.name}/")
        elif entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file():
            yield f"{within}{entry.name}"
        else:
            suffix = Path(entry.name).suffix.lower() or "without suffix"
            skipped[suffix if entry.is_file() else "links or devices"] += 1


def _notes(skipped: Counter[str], lost: Sequence[str], meant: Levels) -> Iterator[str]:
    if skipped:
        yield f"files skipped: {', '.join(f'{count} {kind}' for kind, count in skipped.most_common())}"
    if lost:
        yield f"damaged files left out: {len(lost)} ({', '.join(lost[:3])}{', …' if len(lost) > 3 else ''})"
    if meant.note:
        yield meant.note


def _kind(image: np.ndarray) -> str:
    channels, height, width = image.shape
    return f"{width}x{height} in {'grey' if channels == 1 else 'colour'}"


def _labels(folder: Path, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    for name in names:
        if name.partition("/")[0] not in numbers:
            raise BadInput(f"{folder / name} is in none of the class folders {', '.join(classes)}.")
    return np.array([numbers[name.partition("/")[0]] for name in names], np.int64)
