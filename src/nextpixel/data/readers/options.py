"""What a user says of their own data, where the files leave it open; the words that all readers know."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from nextpixel.data.transforms import desaturate
from nextpixel.errors import BadInput, flag, one_of, plain

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "t10k"),
}
SPLIT_OF = {word: split for split, words in SPLITS.items() for word in words}
FITS = ("crop", "pad", "stretch", "tiles")
_MOST = 2**14  # rows or columns
MOST_IN_MEMORY = 2**30  # bytes of an array, or of the levels of a folder; more stay on disk


@dataclass(frozen=True, kw_only=True)
class Options:
    """How files are to be understood, and what pictures are brought to; `open_data` explains each.

    Of the ways to fit, "crop" covers the size and cuts off what is beyond it on both sides; "pad" fits the whole
    picture in and leaves black around it; "stretch" changes its proportions; "tiles" cuts it as it is into pieces that
    do not overlap, from the left above, and leaves out the rest. Sizes change by pillow's antialiased filter (Lanczos).
    """

    levels: int | None = None
    ordinal: bool = True
    layout: str | None = None
    splits: Mapping[str, str] | None = None
    first_label: int | None = None
    damaged: str = "refuse"
    size: int | str | None = None
    fit: str = "crop"
    channels: int | None = None
    like: Mapping[str, Any] = field(default_factory=dict[str, Any])
    columns: Mapping[str, str] | None = None
    streaming: bool = False

    def __post_init__(self) -> None:
        for name in ("levels", "first_label", "size", "channels"):  # numpy's whole numbers too
            object.__setattr__(self, name, plain(getattr(self, name)))
        for name in ("ordinal", "streaming"):
            flag(getattr(self, name), name)
        if self.layout is not None:
            one_of(self.layout, "layout", ("NHWC", "NCHW", "HWCN"))
        one_of(self.damaged, "damaged", ("refuse", "skip"))
        if self.first_label is not None and type(self.first_label) is not int:
            raise BadInput(f"first_label must be a whole number, not {self.first_label!r}.")
        for split in self.splits or ():
            one_of(split, "A split", tuple(SPLITS))
        for column in self.columns or ():
            one_of(column, "A column", ("image", "label"))
        if self.splits and "train" not in self.splits:
            raise BadInput(f"splits must say which is train, not only {', '.join(self.splits)}.")
        one_of(self.fit, "fit", FITS)
        if self.channels is not None:
            one_of(str(self.channels) if isinstance(self.channels, bool) else self.channels, "channels", (1, 3))
        if self.size is None and self.fit != "crop":
            raise BadInput(f"fit={self.fit} needs a size, such as 32 or 32x48.")
        if self.size is not None and not all(1 <= side <= _MOST for side in self._sides):
            raise BadInput(
                f"size must be a number of pixels from 1 to {_MOST}, or HxW such as 32x48, not {self.size!r}."
            )

    def refuse(self, what: str, *which: str) -> None:
        """Refuse those of these options that the user has set (all but `like`), for data to which they mean nothing."""
        for option in which or [its.name for its in fields(self) if its.name != "like"]:
            if getattr(self, option) != getattr(UNSAID, option):
                raise BadInput(f"{option}={getattr(self, option)} means nothing for {what}.")

    @property
    def _sides(self) -> tuple[int, int]:
        """Rows and columns; zeros where they cannot be read."""
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", str(self.size))
        return (0, 0) if found is None else (int(found[1]), int(found[2] or found[1]))

    def count(self, height: int, width: int) -> int:
        """How many images a picture of that size becomes."""
        rows, columns = self._sides
        return (height // rows) * (width // columns) if self.fit == "tiles" else 1

    def fitted(self, picture: np.ndarray) -> np.ndarray:
        """Levels of one picture, (C, H, W), to those of the images that it becomes, (N, C, h, w)."""
        if self.channels == 1 and len(picture) == 3:
            picture = desaturate(picture[None])[0]
        elif self.channels == 3 and len(picture) == 1:
            picture = picture.repeat(3, axis=0)
        channels, height, width = picture.shape
        rows, columns = size = self._sides
        if self.size is None or (height, width) == size:
            return picture[None]
        if self.fit == "tiles":
            down, across = height // rows, width // columns
            tiles = picture[:, : down * rows, : across * columns].reshape(channels, down, rows, across, columns)
            return tiles.transpose(1, 3, 0, 2, 4).reshape(down * across, channels, rows, columns)
        if self.fit != "pad":
            return _resized(picture, size, by=ImageOps.fit if self.fit == "crop" else Image.Image.resize)[None]
        ratio = min(rows / height, columns / width)
        inner = min(rows, max(1, round(height * ratio))), min(columns, max(1, round(width * ratio)))
        around = [((most - side) // 2, (most - side + 1) // 2) for most, side in zip(size, inner, strict=True)]
        return np.pad(_resized(picture, inner), [(0, 0), *around])[None]


UNSAID = Options()


def _resized(picture: np.ndarray, size: tuple[int, int], by: Callable[..., Any] = Image.Image.resize) -> np.ndarray:
    """The same at another size: (C, H, W) to (C, rows, columns)."""
    wide = picture.dtype != np.uint8  # pillow filters eight bits and floats
    planes = [Image.fromarray(plane.astype(np.float32) if wide else plane) for plane in picture]
    made = np.stack([np.asarray(by(plane, size[::-1], Image.Resampling.LANCZOS)) for plane in planes])
    return made.round().clip(0, picture.max()).astype(picture.dtype) if wide else made
