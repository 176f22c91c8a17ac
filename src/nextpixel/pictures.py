"""Pictures of images: grids in which a level has the same brightness, or a name the same colour, everywhere.

A class has a row with its name before it, and a title may stand above; what would be long is wrapped, so that a picture
is about as wide as high.
"""

import math
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from nextpixel.errors import BadInput
from nextpixel.files import whole_file

READABLE = 64  # screen pixels that the longer side of an image gets at least, where a whole factor allows
GAP, BETWEEN = np.array([96, 96, 112], dtype=np.uint8), 2  # between images: the colour, and how many dots
UNKNOWN = np.array([104, 120, 150], dtype=np.uint8)
_HEAT = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]])  # matplotlib's inferno
PAPER, INK, LINE = "white", "black", 24  # of what is written; dots of a line
LONGEST = 24  # characters of a class's name
_STRIDES = 1.2207440846057596 ** -np.arange(1.0, 4.0)  # of hue, brightness and saturation, from name to name

Levels = Tensor | NDArray[np.integer]


def grid(images: Levels, levels: int, *, ordinal: bool = True, columns: int | None = None, gap: int = 2) -> Image.Image:
    """Images side by side, in rows.

    Level l becomes round(255·l / (levels − 1)), in every image alike. Levels that are names have colours instead, more
    than two of them: the same for a level whatever their number. Small images are enlarged by a whole factor.

    Args:
        images: integers in [0, levels), shape (B, C, H, W). One channel is grey, three are red, green and blue; of any
            other number each is grey, side by side. Of names, the colours of all channels are mixed.
        levels: values that a sub-pixel can take (L).
        ordinal: False where levels are names.
        columns: images in a row; None for a grid about as wide as high.
        gap: pixels between images.
    """
    return Image.fromarray(_assemble(_enlarged(_colours(images, levels, ordinal)), columns, gap))


def by_class(images: Levels, names: Sequence[str], levels: int, *, ordinal: bool = True) -> Image.Image:
    """Images of classes, a row a class with its name; several rows, or classes side by side, where that is long.

    Args:
        images: (K·B, C, H, W): the K images of the first class, then those of the second, and so on.
        names: of the B classes; none for a plain grid.
    """
    if not names:
        return grid(images, levels, ordinal=ordinal)
    if len(images) % len(names):
        raise BadInput(f"{len(images)} images of {len(names)} classes cannot be shown, a row a class.")
    return _in_blocks(_colours(images, levels, ordinal), names=names)


def completions(
    given: Levels,
    known: Tensor | NDArray[np.bool_],
    completed: Levels,
    levels: int,
    *,
    ordinal: bool = True,
    original: bool = False,
) -> Image.Image:
    """Each row: an image as it was given, its unknown pixels tinted, then its completions, then perhaps the original.

    Args:
        given: (B, C, H, W); what it says of unknown sub-pixels is not shown.
        known: (B, 1 or C, H, W), True where a sub-pixel is given. A pixel with any unknown sub-pixel is tinted.
        completed: (K·B, C, H, W): the K completions of the first image, then those of the second, and so on.
        original: whether `given` is shown whole as the last of each row.
    """
    first, others = _colours(given, levels, ordinal), _colours(completed, levels, ordinal)
    if len(others) % len(first) or others.shape[1:] != first.shape[1:]:
        raise BadInput(f"{len(others)} completions of {len(first)} images cannot be shown side by side.")
    whole = first.copy()
    unknown = np.asarray(~_array(known).all(axis=1))[:, :, None]  # (B, H, 1, W)
    beside = first.reshape(len(first), first.shape[1], -1, unknown.shape[3], 3)  # channels side by side, if they are
    beside[np.broadcast_to(unknown, beside.shape[:4])] = UNKNOWN
    parts = [first[:, None], others.reshape(len(first), -1, *first.shape[1:]), *([whole[:, None]] if original else [])]
    return _in_blocks(np.concatenate(parts, 1).reshape(-1, *first.shape[1:]), blocks=len(first))


def costs(
    images: Levels, bits: Tensor | NDArray[np.floating], levels: int, *, most: float, ordinal: bool = True
) -> Image.Image:
    """Each image beside a map of what its pixels cost, from black, nothing, by red to pale yellow, `most` bits or more.

    `bits` are of each sub-pixel, (B, C, H, W). A pixel's are added up, unless its channels are shown side by side.

    Example:
        >>> zeros = np.zeros((2, 1, 8, 8), dtype=int)
        >>> costs(zeros, zeros + 0.5, 17, most=1.0).size
        (130, 130)
    """
    shown, array = _colours(images, levels, ordinal), _array(bits)
    beside = shown.shape[2] > array.shape[3]
    plane = np.concatenate([*array.swapaxes(0, 1)], 2) if beside else array.sum(1)
    place = np.nan_to_num(plane / most, nan=1.0).clip(0, 1) * (len(_HEAT) - 1)
    heat = np.stack([np.interp(place, range(len(_HEAT)), part) for part in _HEAT.T], 3).round().astype(np.uint8)
    return _in_blocks(np.stack([shown, heat], 1).reshape(-1, *shown.shape[1:]), blocks=len(shown))


def titled(picture: Image.Image, title: str) -> Image.Image:
    """A picture under a line of text."""
    font, text = ImageFont.load_default(14), " ".join(title.split())
    line = Image.new("RGB", (12 + int(font.getlength(text)), LINE), PAPER)
    ImageDraw.Draw(line).text((6, LINE / 2), text, INK, font, anchor="lm")
    return stacked([line, picture])


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other, on paper."""
    tops = np.cumsum([0, *(sheet.height for sheet in sheets)]).tolist()
    made = Image.new("RGB", (max(sheet.width for sheet in sheets), tops.pop()), PAPER)
    for sheet, top in zip(sheets, tops, strict=True):
        made.paste(sheet, (0, top))
    return made


def write(picture: Image.Image, path: Path) -> None:
    """Write a picture, at once or not at all, as what its name says: .png, .jpg, .webp (without loss), else PNG."""
    form = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    with whole_file(path) as beside:
        picture.save(beside, format=form, lossless=True, quality=95, subsampling=0)


def _enlarged(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (B, H, W, 3) enlarged by a whole factor, so that they can be looked at."""
    factor = max(1, READABLE // max(images.shape[1:3]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def _assemble(images: NDArray[np.uint8], columns: int | None, gap: int = BETWEEN) -> NDArray[np.uint8]:
    count, height, width, _ = images.shape
    across = min(count, columns or math.ceil(math.sqrt(count * height / width)))
    rows = math.ceil(count / across)
    tiles = np.broadcast_to(GAP, (rows * across, height + gap, width + gap, 3)).copy()
    tiles[:count, :height, :width] = images
    sheet = tiles.reshape(rows, across, height + gap, width + gap, 3).swapaxes(1, 2)
    return sheet.reshape(rows * (height + gap), -1, 3)[: -gap or None, : -gap or None]


def _in_blocks(images: NDArray[np.uint8], *, names: Sequence[str] = (), blocks: int | None = None) -> Image.Image:
    """Blocks of equally many images, which stay together, each with its name before it.

    Those with names may have several rows, and several blocks may stand side by side, if the sheet is less long then.
    """
    images, font = _enlarged(images), ImageFont.load_default(16)
    said = [" ".join(name.split()) for name in names]
    said = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in said]
    margin = 12 + max(int(font.getlength(name)) for name in said) if said else 0
    count = blocks or len(names)
    each, (high, wide) = len(images) // count, (side + BETWEEN for side in images.shape[1:3])

    def size(across: int, rows: int) -> tuple[int, int]:
        """Of a sheet of so many blocks side by side, of so many rows each."""
        width = across * (margin + math.ceil(each / rows) * wide) + (across - 1) * 4 * BETWEEN - BETWEEN
        return width, math.ceil(count / across) * rows * high - BETWEEN

    def unlike_a_square(choice: tuple[int, int]) -> float:
        width, height = size(*choice)
        return abs(math.log(width / height)) + 0.7 * (choice[0] > 1) + 0.7 * (choice[1] > 1)

    choices = product(range(1, min(count, 64) + 1), range(1, min(each, 64) + 1) if said else (1,))
    across, rows = min(choices, key=unlike_a_square)
    columns, between = math.ceil(each / rows), tuple(GAP.tolist())
    sheet = Image.new("RGB", size(across, rows), PAPER if said else between)
    draw = ImageDraw.Draw(sheet)
    for block in range(count):
        left, top = block % across * (margin + columns * wide + 4 * BETWEEN), block // across * rows * high
        start, middle = left + margin, (left + margin / 2, top + rows * high / 2)
        sheet.paste(between, (start, top, start + columns * wide - BETWEEN, top + rows * high))
        sheet.paste(Image.fromarray(_assemble(images[block * each :][:each], columns)), (start, top))
        if said:
            draw.text(middle, said[block], INK, font, anchor="mm")
    return sheet


def _colours(images: Levels, levels: int, ordinal: bool) -> NDArray[np.uint8]:
    """(B, H, W, 3) red, green and blue; (B, H, C·W, 3) where channels are side by side."""
    array = _array(images)
    if array.ndim != 4 or array.size == 0:
        raise BadInput(f"A picture needs images of shape (B, C, H, W), not {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() >= levels:
        raise BadInput(f"A picture needs integer levels in [0, {levels}), not {array.dtype} up to {array.max()}.")
    if not ordinal:
        return _palette(levels)[array].mean(axis=1).round().astype(np.uint8)
    scaled = (array.astype(np.int64) * 510 + (levels - 1)) // (2 * (levels - 1))  # round half up, exactly
    if array.shape[1] not in (1, 3):
        scaled = scaled.transpose(0, 2, 1, 3).reshape(len(array), 1, array.shape[2], -1)
    return scaled.astype(np.uint8).repeat(3 // scaled.shape[1], axis=1).transpose(0, 2, 3, 1).copy()


def _palette(levels: int) -> NDArray[np.floating]:
    """A colour for each name, from 0 to 255, shape (L, 3): black and white for two, else far from its neighbours'.

    Hue, saturation and brightness are points of a sequence that fills a cube evenly wherever it is cut off: multiples,
    modulo 1, of the powers of the root of x⁴ = x + 1.
    """
    if levels == 2:
        return np.array([[0.0] * 3, [255.0] * 3])
    points = np.arange(levels)[:, None] * _STRIDES % 1
    return 255 * np.array([hsv_to_rgb(hue, 1 - 0.6 * second, 1 - 0.6 * third) for hue, second, third in points])


def _array(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
