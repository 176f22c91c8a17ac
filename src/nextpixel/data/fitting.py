"""Pictures of any size and colour brought to one: `crop`, `pad`, `stretch` or `tiles`; grey or colour."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from nextpixel.data.transforms import desaturate
from nextpixel.errors import BadInput, one_of

FITS = ("crop", "pad", "stretch", "tiles")
_MOST = 2**14  # rows or columns


@dataclass(frozen=True)
class Fitting:
    """What pictures are brought to: the arguments are those of `open_data`.

    "crop" covers the size and cuts off what is beyond it on both sides; "pad" fits the whole picture in and leaves
    black around it; "stretch" changes its proportions; "tiles" cuts it as it is into pieces that do not overlap, from
    the left above, and leaves out the rest. Sizes change by pillow's antialiased filter (Lanczos).
    """

    size: int | str | None = None
    fit: str = "crop"
    channels: int | None = None

    def __post_init__(self) -> None:
        one_of(self.fit, "fit", FITS)
        if self.channels is not None:
            one_of(self.channels, "channels", (1, 3))
        if self.size is None and self.fit != "crop":
            raise BadInput(f"fit={self.fit} needs a size, such as 32 or 32x48.")
        if self.size is not None and not all(1 <= side <= _MOST for side in self._sides):
            raise BadInput(
                f"size must be a number of pixels from 1 to {_MOST}, or HxW such as 32x48, not {self.size!r}."
            )

    @property
    def _sides(self) -> tuple[int, int]:
        """Rows and columns; zeros where they cannot be read."""
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", str(self.size))
        return (0, 0) if found is None else (int(found[1]), int(found[2] or found[1]))

    def count(self, height: int, width: int) -> int:
        """How many images a picture of that size becomes."""
        if self.size is None or self.fit != "tiles":
            return 1
        return (height // self._sides[0]) * (width // self._sides[1])

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Levels of one picture, (C, H, W), to those of the images that it becomes, (N, C, h, w)."""
        channels, height, width = picture.shape
        if self.channels == 1 and channels == 3:
            picture = desaturate(picture[None])[0]
        elif self.channels == 3 and channels == 1:
            picture = picture.repeat(3, axis=0)
        channels = len(picture)
        if self.size is None or (height, width) == self._sides:
            return picture[None]
        rows, columns = self._sides
        if self.fit == "tiles":
            down, across = height // rows, width // columns
            tiles = picture[:, : down * rows, : across * columns].reshape(channels, down, rows, across, columns)
            return tiles.transpose(1, 3, 0, 2, 4).reshape(down * across, channels, rows, columns)
        if self.fit != "pad":
            return _resized(picture, rows, columns, by=ImageOps.fit if self.fit == "crop" else Image.Image.resize)[None]
        ratio = min(rows / height, columns / width)
        inner = [min(most, max(1, round(side * ratio))) for side, most in ((height, rows), (width, columns))]
        top, left = (rows - inner[0]) // 2, (columns - inner[1]) // 2
        sheet = np.zeros((1, channels, rows, columns), picture.dtype)
        sheet[0, :, top : top + inner[0], left : left + inner[1]] = _resized(picture, inner[0], inner[1])
        return sheet


def _resized(
    picture: np.ndarray, rows: int, columns: int, *, by: Callable[..., Any] = Image.Image.resize
) -> np.ndarray:
    """The same at another size: (C, H, W) to (C, rows, columns)."""
    wide = picture.dtype != np.uint8  # pillow filters eight bits and floats
    planes = [Image.fromarray(plane.astype(np.float32) if wide else plane) for plane in picture]
    made = np.stack([np.asarray(by(plane, (columns, rows), Image.Resampling.LANCZOS)) for plane in planes])
    return made.round().clip(0, picture.max()).astype(picture.dtype) if wide else made
