"""What a data set is: three splits of integer images, with labels and maps where there are any."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nextpixel.data.lazy import Images, View, change, choose, contents
from nextpixel.errors import BadInput, Damaged, shown
from nextpixel.spec import ImageSpec

_MOST_DIGESTED = 2**16  # images
_MOST_CLASSES = 20  # named in a line
_LOOKED_AT = 4096  # images of a split, evenly spaced


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images and their labels; `batch` hands out some of them as tensors."""

    images: Images  # unsigned integers, (N, C, H, W): an array, a memory map, or what else is indexed by integers
    labels: np.ndarray | None = None  # from 0, int64, (N,)
    # Changes the images of every batch anew, with noise (dynamic binarisation).
    draw: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    maps: Images | None = None  # what a `Map` context is given: codes (integers) or numbers (floats), (N, d, h, w)
    marks: np.ndarray | None = None  # stand for the images in `contents`, uint64, (N,); None where their levels do
    files: np.ndarray | None = None  # paths of the images' files, (N,); None where they are not, or stay on disk
    stream: Any = None  # where training images come from of which these are the first ones only; see `Stream`

    def __post_init__(self) -> None:
        if isinstance(self.images, list | tuple):
            raise BadInput("The images of a split are an array, (N, C, H, W), not a list; numpy.stack makes one.")
        labels = self.labels
        whole = isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu"
        if labels is not None and not (whole and len(labels) == len(self.images)):
            wanted = f"an array of whole numbers, one for each of the {len(self.images):,} images"
            raise BadInput(f"The labels of a split are {wanted}, not {shown(labels)}.")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        beside = [name for name in ("labels", "maps") if getattr(self, name) is not None]
        return f"Split of {len(self):,} images{' with ' * bool(beside)}{' and '.join(beside)}"

    def batch(
        self, indices: Sequence[int] | np.ndarray | Tensor, noise: np.random.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Some images, (B, C, H, W), uint8 where levels fit and else int32; and their labels, int64, (B,), or None.

        A split that draws takes its noise from `noise`; others leave that alone.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        images = np.asarray(self.images[chosen])
        if self.draw is not None:
            images = self.draw(images, noise)
        if images.dtype.kind not in "bui" or (images.dtype.itemsize > 4 and np.abs(images).max(initial=0) >= 2**31):
            low, high = images.min(), images.max()
            raise BadInput(f"Images must be whole levels, not {images.dtype} values from {low:g} to {high:g}.")
        if images.dtype != np.uint8:  # torch computes little with wider unsigned integers
            images = images.astype(np.int32)
        labels = None if self.labels is None else torch.from_numpy(self.labels[chosen].astype(np.int64))
        return torch.from_numpy(np.ascontiguousarray(images)), labels

    def readable(self, indices: np.ndarray) -> np.ndarray:
        """Those of the indices whose images are not damaged, as may turn out where images stay on disk."""
        kept = list[int]()
        for index in indices.tolist():
            with suppress(Damaged):
                self.images[[index]]
                kept.append(index)
        return np.array(kept, dtype=np.int64)

    def look(self, indices: np.ndarray, *, seed: int = 0) -> tuple[Tensor, np.ndarray]:
        """Images of these indices, without damaged ones, and which these are; noise is the same each time."""
        try:
            return self.batch(indices, np.random.default_rng(seed))[0], indices
        except Damaged:
            indices = self.readable(indices)
            return self.batch(indices, np.random.default_rng(seed))[0], indices

    def take(self, indices: np.ndarray | slice) -> "Split":
        """Keep only these images, in this order; those that are not in memory stay where they are."""
        parts = {name: getattr(self, name) for name in ("images", "labels", "maps", "marks", "files")}
        return replace(self, **{name: choose(part, indices) for name, part in parts.items() if part is not None})

    def contents(self) -> np.ndarray:
        """A number for each image that its content alone decides, uint64, shape (N,): the same for copies."""
        return contents(self.images) if self.marks is None else self.marks

    def digest(self) -> str:
        """What tells these images and labels, in their order, from others; of many images, of some evenly spaced."""
        some = self.take(evenly(len(self), _MOST_DIGESTED))
        labels = b"" if some.labels is None else some.labels.astype("<i8").tobytes()
        return hashlib.blake2b(some.contents().astype("<u8").tobytes() + labels, digest_size=8).hexdigest()


@dataclass(frozen=True)
class MapKind:
    """Maps of `size` codes below `levels` at each place, or of floating-point numbers."""

    size: int
    levels: int | None = None

    def __str__(self) -> str:
        return f"{self.size} {'numbers' if self.levels is None else f'codes of {self.levels:,}'} at a place"


@dataclass(frozen=True, eq=False)
class Parts:
    """What a reader found: the training images, and the other splits where the source has them; see `DataSet`."""

    spec: ImageSpec
    classes: int | None
    train: Split
    validation: Split | None = None
    test: Split | None = None
    maps: MapKind | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    rule: str = "as the source has them"  # where the splits that are there come from

    @property
    def splits(self) -> dict[str, Split]:
        """Those that are there, by name."""
        found = ("train", self.train), ("validation", self.validation), ("test", self.test)
        return {name: split for name, split in found if split is not None}


@dataclass(frozen=True, eq=False, repr=False)
class DataSet:
    """A named set of images that all have one spec, in three disjoint splits."""

    name: str  # as it was asked for
    spec: ImageSpec  # shape and levels of what `Split.batch` returns
    classes: int | None  # how many class labels there are
    train: Split
    validation: Split
    test: Split
    maps: MapKind | None = None  # what the maps beside the images are
    class_names: tuple[str, ...] | None = None  # in the order of their labels; None where they have numbers only
    rule: str = ""  # where the splits come from, in words
    notes: tuple[str, ...] = ()  # sentences without a full stop, about what was skipped, left alone or converted
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # with which `open_data` read it, but its place

    def __repr__(self) -> str:
        """All that is known without a look at the images: splits and where they come from, shape, classes, notes."""
        counts = {name: len(split) for name, split in self.splits.items()}
        if (stream := self.train.stream) is not None and stream.images:
            counts["train"] = stream.images
        sizes = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        kind = "levels" if self.spec.ordinal else "names"
        lines = [
            self.name,
            f"  images: {sizes} ({self.rule})",
            f"  each: {'x'.join(map(str, self.spec.shape))}, {self.spec.levels:,} {kind}",
            *([f"  classes: {self._counted(self.classes)}"] if self.classes is not None else []),
            *([f"  maps: {self.maps}"] if self.maps is not None else []),
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def _counted(self, classes: int) -> str:
        """The classes, and how many images each has."""
        there = [split.labels for split in self.splits.values() if split.labels is not None]
        counts = np.bincount(np.concatenate(there), minlength=classes) if there else np.zeros(classes, np.int64)
        named = [f"{name} {count:,}" for name, count in zip(self.class_names or range(classes), counts, strict=True)]
        more = [f"and {len(named) - _MOST_CLASSES} more"] if len(named) > _MOST_CLASSES else []
        return ", ".join([*named[:_MOST_CLASSES], *more])

    @property
    def splits(self) -> dict[str, Split]:
        """All three by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def with_splits(self, change: Callable[[Split], Split], **others: Any) -> "DataSet":
        """The same with something done to every split, and other fields if need be."""
        return replace(self, **{name: change(split) for name, split in self.splits.items()}, **others)

    def with_images(self, function: Callable[[np.ndarray], np.ndarray], **spec: int) -> "DataSet":
        """The same with something done to all images, which then have another spec."""
        made = replace(self.spec, **spec)
        return self.with_splits(lambda split: replace(split, images=change(split.images, function)), spec=made)

    def split(self, name: str) -> Split:
        """One of the splits, or with "all" the three of them as one."""
        if name != "all":
            return self.splits[name]
        if self.train.draw is not None:
            raise BadInput(f"{self.name} draws its training images anew for every batch; name one split, not all.")
        return joined(self.splits.values())


def joined(splits: Iterable[Split]) -> Split:
    """The images of several splits as one, with their labels, maps and files."""
    every = [vars(split) for split in splits]
    kinds = ([its[kind] for its in every if its[kind] is not None] for kind in ("images", "labels", "maps", "files"))
    images, labels, maps, files = kinds
    labels, files = (np.concatenate(its) if its else None for its in (labels, files))
    return Split(View(images), labels, maps=View(maps) if maps else None, files=files)


def describe(data: DataSet) -> list[str]:
    """Lines about what was found: what `print(data)` says, and the levels that are seen in the images."""
    name, images, each, *others = repr(data).splitlines()
    some = [split.look(evenly(len(split), _LOOKED_AT))[0] for split in data.splits.values()]
    seen = np.unique(np.concatenate([np.unique(images.numpy()) for images in some]))
    return [name, images, f"{each}; seen: {len(seen):,} of them, from {seen[0]:,} to {seen[-1]:,}", *others]


def learnt_from(data: DataSet) -> dict[str, Any]:
    """What a model keeps of the data that it learnt from, as JSON values."""
    return {
        "data": data.name,
        "options": dict(data.options),
        "rule": data.rule,
        "class_names": None if data.class_names is None else list(data.class_names),
        "splits": {name: {"images": len(split), "digest": split.digest()} for name, split in data.splits.items()},
    }


def evenly(images: int, most: int) -> np.ndarray:
    """Which of so many images are looked at: all of them, or at most so many."""
    return np.linspace(0, images - 1, min(images, most)).astype(np.int64)
