"""Pictures of any size as images of one shape, and back: what a container of compressed images says of its pictures.

Each plane of a picture is filled up at its right and its bottom, by its last column and row, to whole tiles of the
model's height and width, and these are taken row by row. A model of one channel takes the channels of a picture one
after another, each as a plane; for one of several channels, a grey picture has its channel in each.
"""

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nextpixel.errors import BadInput
from nextpixel.spec import SIDE, ImageSpec

_ROW = re.compile(r"(-?\d{1,19}) (\d{1,5}) (\d{1,5}) ([13]) (.+)", re.DOTALL)
_NAME = re.compile(r"[^\x00-\x1f\\:]{1,1000}\.(png|webp)", re.IGNORECASE)
_ELSEWHERE = re.compile(r'[<>|?*"]|(^|/)(con|prn|aux|nul|com\d|lpt\d)\.')  # of no file on Windows
_ROOM = 2**22  # bytes of a list of pictures, at most


class Picture(NamedTuple):
    """A picture: when its file was changed (ns since 1970), its size, its name below a folder, with slashes."""

    changed: int
    height: int
    width: int
    channels: int
    name: str

    def grid(self, spec: ImageSpec) -> tuple[int, int, int]:
        """How many planes it has, and rows and columns of tiles."""
        planes = self.channels if spec.channels == 1 else 1
        return planes, -(-self.height // spec.height), -(-self.width // spec.width)


def cut(image: Tensor, spec: ImageSpec) -> Tensor:
    """The tiles of a picture (C, H, W), shape (tiles, C', h, w); BadInput for other channels."""
    if len(image) != spec.channels and 1 not in (len(image), spec.channels):
        raise BadInput(f"A model of images {spec} cannot take a picture of {len(image)} channels.")
    planes = image[:, None] if spec.channels == 1 else image.expand(spec.channels, -1, -1)[None]
    rows, columns = (
        torch.arange(-(-size // side) * side).clamp(max=size - 1)
        for size, side in zip(image.shape[1:], (spec.height, spec.width), strict=True)
    )
    tiles = planes[:, :, rows][..., columns].unfold(2, spec.height, spec.height).unfold(3, spec.width, spec.width)
    return tiles.permute(0, 2, 3, 1, 4, 5).reshape(-1, *spec.shape)


def join(tiles: Tensor, picture: Picture, spec: ImageSpec) -> Tensor:
    """The picture (C, H, W) of its tiles."""
    planes, rows, columns = picture.grid(spec)
    whole = tiles.view(planes, rows, columns, *spec.shape).permute(0, 3, 1, 4, 2, 5)
    whole = whole.reshape(-1, rows * spec.height, columns * spec.width)
    return whole[: picture.channels, : picture.height, : picture.width]


def packed(pictures: Sequence[Picture]) -> bytes:
    """A list of pictures as bytes; BadInput for a name that could not be given back, or two alike."""
    seen: set[str] = set()
    for picture in pictures:
        name = picture.name.casefold()  # not every disk tells capital letters from small ones
        if name in seen or not _safe(picture.name) or _ELSEWHERE.search(name):
            why = "stands for two pictures" if name in seen else "is none for a file on every machine"
            raise BadInput(f"The name {picture.name!r} {why}; rename it.")
        seen.add(name)
    rows = "\0".join(" ".join(map(str, picture)) for picture in pictures).encode("utf-8", "surrogateescape")
    if len(rows) > _ROOM:
        raise BadInput(f"{len(pictures):,} pictures are too many for a container; make several.")
    return zlib.compress(rows, 9)


def unpacked(data: bytes, spec: ImageSpec, count: int) -> list[Picture] | None:
    """The pictures that `packed` made these bytes of; None if they are not such that have `count` tiles in all."""
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(data, _ROOM).decode("utf-8", "surrogateescape")
    except zlib.error:
        return None
    if not reader.eof or text.count("\0") >= min(count, len(text) // 12 + 1):  # before memory is taken for rows
        return None
    rows = [_ROW.fullmatch(row) for row in text.split("\0")]
    found = [Picture(int(row[1]), int(row[2]), int(row[3]), int(row[4]), row[5]) for row in rows if row]
    sizes = all(0 < side <= SIDE for picture in found for side in picture[1:3])
    names = {picture.name for picture in found}
    fine = len(found) == len(rows) == len(names) and sizes and all(map(_safe, names))
    return found if fine and sum(int(np.prod(picture.grid(spec))) for picture in found) == count else None


def _safe(name: str) -> bool:
    """Whether a name stays below its folder, on any machine."""
    parts = name.split("/")
    return bool(_NAME.fullmatch(name)) and all(0 < len(part) < 200 and part.strip(". ") for part in parts)
