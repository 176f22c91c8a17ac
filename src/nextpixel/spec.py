"""What an image is: its shape and its levels."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nextpixel.errors import BadInput, plain, whole

WIDE = (torch.uint16, torch.uint32, torch.uint64)
SIDE, LARGEST = 2**16, 2**26  # rows, columns or channels, and sub-pixels, that an image can have


@dataclass(frozen=True)
class ImageSpec:
    """The shape and the levels of the images that a model is about.

    Args:
        channels: colours of a pixel (C), in the order in which they are drawn.
        height: rows (H).
        width: columns (W).
        levels: values that a sub-pixel can take, 0 … levels − 1 (L).
        ordinal: whether neighbouring levels are alike (brightness); False for names, such as codes of a VQ-VAE.

    Raises:
        BadInput: a size below 1, fewer than two levels, or more than any image has.

    Example:
        >>> ImageSpec(channels=3, height=32, width=32, levels=256).shape
        (3, 32, 32)
    """

    channels: int = 1
    height: int = 28
    width: int = 28
    levels: int = 2
    ordinal: bool = True

    def __post_init__(self) -> None:
        for name, least, most in (("channels", 1, SIDE), ("height", 1, SIDE), ("width", 1, SIDE), ("levels", 2, 2**31)):
            number = whole(getattr(self, name), f"ImageSpec: {name}", least=least)
            if number > most:
                raise BadInput(f"ImageSpec: {name} must be at most {most}, not {number}.")
            object.__setattr__(self, name, number)
        object.__setattr__(self, "ordinal", plain(self.ordinal))
        if not isinstance(self.ordinal, bool):
            raise BadInput(f"ImageSpec: ordinal must be True or False, not {self.ordinal!r}.")
        if self.subpixels > LARGEST:
            raise BadInput(f"ImageSpec: an image has at most {LARGEST} sub-pixels, not {self.subpixels}.")

    def __str__(self) -> str:
        of = "levels" if self.ordinal else "names"
        return f"{self.channels}x{self.height}x{self.width} with {self.levels} {of}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    @property
    def subpixels(self) -> int:
        """Dimensions of an image: C·H·W."""
        return math.prod(self.shape)

    def check(self, images: Tensor, *, what: str = "images") -> Tensor:
        """The images in a dtype that torch computes with, if they are integers in [0, levels), shape (B, C, H, W).

        Else a BadInput says what is wrong with `what` (a file's name, for example).
        """
        if not isinstance(images, Tensor):
            raise BadInput(f"{what} must be a tensor of integer levels, not {kind(images)}; torch.as_tensor makes one.")
        if images.is_floating_point() or images.is_complex() or images.dtype == torch.bool:
            nan = images.is_floating_point() and bool(images.isnan().any())
            way = " with NaN among them" if nan else "; where they are whole, .long() makes levels of them"
            raise BadInput(f"{what} must be integer levels in [0, {self.levels}), not {kind(images)} values{way}.")
        if images.ndim != 4 or tuple(images.shape[1:]) != self.shape:
            expected = "(B, {}, {}, {})".format(*self.shape)
            raise BadInput(f"{what} must have shape {expected}, not {tuple(images.shape)}.")
        return within(images, self.levels, f"{what} must hold levels")


def kind(value: object) -> str:
    """What a value is, for a sentence: a tensor's numbers, or else the name of its type."""
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else type(value).__name__


def within(values: Tensor, count: int, what: str) -> Tensor:
    """Integers of any dtype in one that torch computes with, if all are in [0, count); `what` begins the sentence."""
    if values.numel():
        # Of wide unsigned integers, torch knows no order; and a conversion would make another number of a large one.
        numbers: Any = values.cpu().numpy() if values.dtype in WIDE else values
        if int(numbers.min()) < 0 or int(numbers.max()) >= count:
            raise BadInput(f"{what} in [0, {count}); one is {int(numbers[(numbers < 0) | (numbers >= count)][0])}.")
    return values.long() if values.dtype in WIDE else values


def centres(levels: Tensor, count: int) -> Tensor:
    """Levels 0 … L − 1 as numbers from −1 to 1, in their own dtype, which must not be one of integers."""
    return levels * (2 / (count - 1)) - 1
