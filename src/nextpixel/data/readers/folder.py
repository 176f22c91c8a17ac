"""Folders of image files, and single ones.

Sub-folders that are called after splits, in the usual words, are splits: train, training; validation, valid, val, dev;
test, testing; in small or capital letters. Sub-folders of a split, two or more, are classes, matched by name. Files go
by the alphabet.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts
from nextpixel.data.readers.encoded import Source, decode
from nextpixel.data.readers.options import SPLIT_OF, SPLITS, UNSAID, Options
from nextpixel.errors import BadInput, told

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def read_folder(path: Path, options: Options = UNSAID) -> Parts:
    """Read every image below a folder, into memory if they are not too many."""
    options.refuse(f"{path}, a folder of images", "layout", "first_label")
    folders, skipped = _split_folders(path, options.splits), Counter[str]()
    files = {split: image_names(folder, skipped) for split, folder in folders.items()}
    below = sorted({name.partition("/")[0] for name in files["train"] if "/" in name})
    classes = below if len(below) >= 2 else []  # one sub-folder alone is no class
    labels = {split: _labels(folders[split], names, classes) for split, names in files.items() if classes}
    printable = tuple(os.fsencode(name).decode(errors="backslashreplace") for name in classes)  # of whatever bytes
    counts = ", ".join(f"{count} {kind}" for kind, count in skipped.most_common())
    sources = {split: _source(folders[split], names) for split, names in files.items()}
    notes = [f"files skipped: {counts}"] if skipped else []
    return decode(sources, options, (labels, len(classes) or None, printable or None), notes)


def read_picture(path: Path, options: Options = UNSAID) -> Parts:
    """Read one image file, as a source of one image, or of its tiles."""
    options.refuse(f"{path}, an image", "layout", "first_label", "splits")
    return decode({"train": Source(path, 1, lambda index: path, lambda index: path.open("rb"))}, options)


def _source(folder: Path, names: Sequence[str]) -> Source:
    """Image files below a folder; their names stay text, since there may be millions."""
    return Source(
        folder, len(names), lambda index: folder / names[index], lambda index: (folder / names[index]).open("rb")
    )


def _split_folders(path: Path, asked: Mapping[str, str] | None) -> dict[str, Path]:
    for name in (asked or {}).values():
        if not (path / name).is_dir():
            raise BadInput(f"{path} has no folder {name}, which data.splits names.")
    with told(path):
        folders = sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    if asked is None:
        found = {name: SPLIT_OF[name.lower()] for name in folders if name.lower() in SPLIT_OF}
        others = [name for name in folders if found and name not in found]
        others = [name for name in others if any(_images_below(path / name, Counter()))]
        asked = {split: name for name, split in found.items()}
        if others or len(asked) < len(found) or (found and "train" not in asked):
            raise BadInput(
                f"{path} has images in {', '.join([*found, *others])}, so that it is not clear which are splits; data."
                "splits={train: NAME, test: NAME} says which splits there are, data.splits={} that all are classes."
            )
    return {split: path / asked[split] for split in SPLITS if split in asked} or {"train": path}


def image_names(folder: Path, skipped: Counter[str]) -> list[str]:
    """All images below a folder, with slashes, in order; what else is there is counted in `skipped`."""
    names = sorted(_images_below(folder, skipped), key=lambda name: name.replace("/", "\0"))  # folder by folder
    if not names:
        packed = skipped.keys() & {".arrow", ".parquet", ".tar"}
        hint = f"; hf:{folder} opens files of {', '.join(sorted(packed))}" if packed else ""
        raise BadInput(f"{folder} has no images in it ({', '.join(IMAGE_SUFFIXES)}){hint}.")
    return names


def _images_below(folder: str | Path, skipped: Counter[str], within: str = "") -> Iterator[str]:
    """Names relative to the folder, with slashes, in any order; what else is there is counted by its kind."""
    with told(folder):
        entries = list(os.scandir(folder))
    for entry in entries:
        if entry.name.startswith("."):
            skipped["hidden"] += 1
        elif entry.is_symlink() and not Path(entry.path).exists():  # it leads to nothing, or in a circle
            skipped["links or devices"] += 1
        elif entry.is_dir(follow_symlinks=not within):  # deeper links may lead in a circle
            yield from _images_below(entry.path, skipped, f"{within}{entry.name}/")
        elif entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file():
            yield f"{within}{entry.name}"
        else:
            suffix = Path(entry.name).suffix.lower() or "without suffix"
            skipped[suffix if entry.is_file() else "links or devices"] += 1


def _labels(folder: Path, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    if other := next((name for name in names if name.partition("/")[0] not in numbers), None):
        raise BadInput(f"{folder / other} is in none of the class folders {', '.join(classes)}.")
    return np.array([numbers[name.partition("/")[0]] for name in names], np.int64)
