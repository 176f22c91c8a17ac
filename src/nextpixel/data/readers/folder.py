"""Folders of image files.

Sub-folders `train`, `validation` and `test`, or what else these are called, are splits, if there is one for `train` and
if nothing beside them has images. Sub-folders of a split, two or more, are classes: labels follow the alphabet of those
of `train`. Files go by the alphabet too. Folders of more than 1 GiB of levels are read image by image, when a batch is
asked for. How pixels become values:

- grey, RGB: as they are, 1 or 3 channels;
- 1 bit: 0 and 255 of grey (`bits=1` makes two levels of that);
- palette (so every GIF, grey or not), CMYK, YCbCr and HSV: RGB;
- transparency, in any of them: laid over white;
- a rotation noted by the camera: done; of several frames: the first.

How many levels these values mean, `levels` says by their range: over all images where they are in memory, else over a
sample, which all others are held to.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nextpixel.data.dataset import Parts, Split
from nextpixel.data.lazy import Lazy
from nextpixel.data.readers.damage import Damaged, told
from nextpixel.data.readers.levels import Levels, check_levels, find_levels
from nextpixel.data.readers.options import MOST_IN_MEMORY, SPLIT_OF, SPLITS, UNSAID, Options
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_SAMPLE = 500  # images that are looked at where they stay on disk


def read_folder(path: Path, options: Options = UNSAID) -> Parts:
    """Read every image below a folder, into memory if they are not too many.

    Raises:
        BadInput: no images, a damaged image, images of different sizes or channels, or class folders that do not match.
            A large folder's images say so only when they are read.
    """
    options.refuse(str(path), "layout", "first_label", why="is for files of arrays")
    return read_folders(_split_folders(path, options.splits), options)


def read_folders(folders: Mapping[str, Path], options: Options = UNSAID) -> Parts:
    """The same for folders anywhere: that of the split `train`, and of `validation` and `test` where there are any."""
    skipped: Counter[str] = Counter()
    names = {split: _image_names(folder, skipped) for split, folder in folders.items()}
    classes = _class_names(names["train"])
    skip, damaged = options.damaged == "skip", list[Path]()
    first, example = next(_readable(folders["train"], names["train"], damaged if skip else None), (None, None))
    if first is None or example is None:
        raise BadInput(f"{folders['train']} has no image that can be read.")
    stay = sum(map(len, names.values())) * example.nbytes > MOST_IN_MEMORY
    wide, lowest, highest = example.dtype != np.uint8, int(example.min()), int(example.max())
    kept: dict[str, list[np.ndarray]] = {}
    for split, folder in folders.items():
        looked, good, kept[split] = names[split], [], []
        if stay and not skip:  # a sample will do, and none is needed where it is said what they hold
            looked = looked[:: max(1, len(looked) // _SAMPLE)] if options.levels is None and split == "train" else []
        for name, pixels in _readable(folder, looked, damaged if skip else None):
            _check_alike(pixels, folder / name, example, folders["train"] / first)
            lowest, highest = min(lowest, int(pixels.min())), max(highest, int(pixels.max()))
            wide |= pixels.dtype != np.uint8
            good.append(name)
            kept[split] += [] if stay else [pixels]
        if skip:
            names[split] = good
    kind = "word" if wide else "byte"
    levels = find_levels(kind, lowest, highest, folders["train"], asked=options.levels)
    splits = {}
    for split, folder in folders.items():
        pictures = _Pictures(folder, names[split], folders["train"] / first, example, levels)
        labels = _labels(folder, names[split], classes) if classes else None
        splits[split] = Split(pictures if stay else pictures.levels_of(kept[split], range(len(pictures))), labels)
    notes = [levels.note or ""]
    if skipped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in skipped.most_common())
        notes.append(f"files skipped: {kinds}")
    if damaged:
        few = ", ".join(map(str, damaged[:3])) + (", …" if len(damaged) > 3 else "")
        notes.append(f"damaged files left out: {len(set(damaged))} ({few})")
    return Parts(
        ImageSpec(*example.shape, levels=levels.count, ordinal=options.ordinal),
        len(classes) or None,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        class_names=tuple(map(_printable, classes)) or None,
        notes=tuple(filter(None, notes)),
    )


class _Pictures(Lazy):
    """Image files, all of them like the first one of the training images.

    Args:
        folder: where they are.
        names: of the files below it. Text, not paths: there may be millions.
        first: the file that the others must be like.
        example: its values, shape (C, H, W).
        levels: what the values mean.
    """

    def __init__(self, folder: Path, names: Sequence[str], first: Path, example: np.ndarray, levels: Levels) -> None:
        self.folder, self.names, self._first, self._example, self._levels = folder, names, first, example, levels

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: np.ndarray) -> np.ndarray:
        names = [self.names[index] for index in indices.tolist()]
        return self.levels_of((pixels for _, pixels in _readable(self.folder, names, None)), indices.tolist())

    def levels_of(self, values: Iterable[np.ndarray], indices: Sequence[int]) -> np.ndarray:
        """The levels that values of these images mean, shape (N, C, H, W)."""
        images = np.empty((len(indices), *self._example.shape), np.min_scalar_type(self._levels.count - 1))
        for place, (index, pixels) in enumerate(zip(indices, values, strict=True)):
            file = self.folder / self.names[index]
            _check_alike(pixels, file, self._example, self._first)
            shifted = pixels if pixels.dtype == np.uint8 else pixels >> self._levels.shift
            check_levels(self._levels.count, 0, int(shifted.max()), file)
            images[place] = shifted
        return images


def read_image(path: Path, levels: int | None = None) -> np.ndarray:
    """Levels of one file, shape (C, H, W), C being 1 or 3.

    Args:
        path: the file.
        levels: that its values have as they are; when None, they become 256 (a picture alone may well be dark).

    Raises:
        BadInput: not an image, damaged, of a kind without levels, or values that are none.
    """
    pixels = read_pixels(path)
    highest = int(pixels.max())
    if levels is not None:
        check_levels(levels, 0, highest, path)
        return pixels
    found = find_levels("byte" if pixels.dtype == np.uint8 else "word", 0, max(highest, 255), path)
    return (pixels >> found.shift).astype(np.uint8)


def read_pixels(path: Path) -> np.ndarray:
    """Values of one file as they are, shape (C, H, W), C being 1 or 3; uint16 of 16 bits of grey, else uint8.

    Raises:
        BadInput: not an image, damaged, or of a kind without levels.
    """
    with told(path, "cannot be read as an image"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as opened:
                palette = opened.format == "GIF" or opened.mode in ("P", "PA")  # pillow opens some GIFs as grey
                picture = _flat(ImageOps.exif_transpose(opened), colour=palette)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError(str(error)) from error
    pixels = np.asarray(picture)
    if picture.mode == "F":
        raise BadInput(f"{path} has floating-point pixels; images must have integer levels.")
    if picture.mode.startswith("I"):
        if pixels.min() < 0 or pixels.max() >= 2**16:
            raise BadInput(f"{path} has pixels from {pixels.min()} to {pixels.max()}, more than 16 bits hold.")
        pixels = pixels.astype(np.uint16)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def _readable(folder: Path, names: Sequence[str], damaged: list[Path] | None) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values of files, without those that cannot be read, which are noted if that is what is wanted."""
    for name in names:
        try:
            pixels = read_pixels(folder / name)
        except Damaged as error:
            if damaged is None:
                raise BadInput(f"{str(error).removesuffix('.')}; data.damaged=skip leaves such files out.") from error
            damaged.append(folder / name)
        else:
            yield name, pixels


def _check_alike(pixels: np.ndarray, file: Path, example: np.ndarray, first: Path) -> None:
    if pixels.shape != example.shape:
        raise BadInput(f"{file} is {_size(pixels)}, but {first} is {_size(example)}; all images must be alike.")


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
    beside = [name for name in folders if found and name not in found.values()]
    for name in beside:
        if any(_images_below(path / name, Counter())):
            raise BadInput(
                f"{path} has a folder {found['train']} and images in {name} beside it; data.splits={{}} says that all "
                f"are classes, data.splits={{train: {found['train']}}} that {name} is left alone."
            )
    return {split: path / found[split] for split in SPLITS if split in found} or {"train": path}


def _class_names(names: Sequence[str]) -> list[str]:
    """The sub-folders that have images; one alone is no class."""
    found = sorted({name.partition("/")[0] for name in names if "/" in name})
    return found if len(found) >= 2 else []


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


def _size(image: np.ndarray) -> str:
    channels, height, width = image.shape
    return f"{width}x{height} in {'grey' if channels == 1 else 'colour'}"


def _printable(name: str) -> str:
    """A file's name as text, whatever bytes it is of."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _labels(folder: Path, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    for name in names:
        if name.partition("/")[0] not in numbers:
            raise BadInput(f"{folder / name} is in none of the class folders {', '.join(classes)}.")
    return np.array([numbers[name.partition("/")[0]] for name in names], np.int64)
