"""What people mean by the names of folders and arrays: splits, images, labels, maps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nextpixel.data.readers.options import SPLITS, Options
from nextpixel.errors import BadInput

SCALARS = ("levels", "map_levels", "ordinal", "class_names")
_OURS = ("given", "known")  # beside the images that `complete` writes
_CALLED = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
    "images": ("images", "image", "imgs", "x", "data"),
    "labels": ("labels", "label", "y", "targets", "target"),
    "maps": ("maps", "map"),
}


@dataclass(frozen=True)
class Named:
    """What a source has of a split; the name is that of the images."""

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    maps: np.ndarray | None = None


def split_called(name: str) -> str | None:
    """The split that people mean by a name, such as Training, val or test; None for any other word."""
    return next((split for split in SPLITS if name.lower() in _CALLED[split]), None)


def by_split(arrays: Mapping[str, np.ndarray], path: Path, options: Options) -> tuple[dict[str, Named], list[str]]:
    """Sort arrays into splits by their names, and say which of them were left alone.

    Raises:
        BadInput: no training images, or names that could mean two things.
    """
    found: dict[tuple[str | None, str], str] = {}
    others = [name for name in arrays if name not in SCALARS]
    for name in others:
        place = _meaning(name)
        if place in found and options.splits is None:
            raise BadInput(f"{path} has {found[place]} and {name}, which mean the same; name one in data.splits.")
        if place is not None:
            found[place] = name
    keys = dict(options.splits or {split: found[split, "images"] for split in SPLITS if (split, "images") in found})
    if not keys and ((None, "images") in found or len(others) == 1):
        keys = {"train": found.get((None, "images"), others[0])}
    if "train" not in keys:
        what = f"only {' and '.join(keys)} images" if keys else "no train_images, images or single array"
        raise BadInput(f"{path} has {what}, but {', '.join(others) or 'nothing'}; name the arrays in data.splits.")
    named, used = {}, set(keys.values())
    for split, key in keys.items():
        if key not in arrays:
            raise BadInput(f"{path} has no array {key!r}, which data.splits names; it has {', '.join(others)}.")
        of = split if options.splits or (split, "images") in found else None
        beside = {role: found.get((of, role), f"{key}_{role}") for role in ("labels", "maps")}
        named[split] = Named(key, arrays[key], *(arrays.get(name) for name in beside.values()))
        used |= set(beside.values())
    alone = [name for name in others if name not in used]
    for name in alone:
        alike = arrays[name].ndim > 2 and arrays[name].shape[1:] == named["train"].images.shape[1:]
        if alike and name not in _OURS and options.splits is None:
            raise BadInput(f"{path} has images in {name} too, of no known split; name the arrays in data.splits.")
    return named, [f"left alone in {path.name}: {', '.join(alone)}"] if alone else []


def _meaning(name: str) -> tuple[str | None, str] | None:
    """The split (or None) and the role that the words of a name say; None where they say something else.

    Known are x_train, trainX, val-images, Xtest, test.labels and the like.
    """
    words: list[str] = []
    for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name):
        joined = re.fullmatch(r"([xy])([a-z]+)", word.lower())
        words += joined.groups() if joined and split_called(joined[2]) else [word.lower()]
    meant = [next((what for what, called in _CALLED.items() if word in called), None) for word in words]
    splits, roles = [what for what in meant if what in SPLITS], [what for what in meant if what not in SPLITS]
    if not words or None in meant or len(splits) > 1 or len(roles) > 1:
        return None
    return splits[0] if splits else None, (roles[0] if roles else None) or "images"
