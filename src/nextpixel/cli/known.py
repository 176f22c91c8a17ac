"""Which pixels of images are known: parts that have names, shares, and the files of masks."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nextpixel.data.readers.encoded import opened
from nextpixel.data.readers.mapped import load_arrays
from nextpixel.errors import BadInput, told

PARTS = ("top-half", "bottom-half", "left-half", "right-half", "centre", "border")


def known_pixels(which: str, images: Tensor, *, seed: int) -> Tensor:
    """The mask of known pixels of images (B, C, H, W): bool, shape (B, 1 or C, H, W).

    `which` is one of `PARTS`: a half of an odd number is without the middle row or column, the centre is the middle
    half of rows and columns, the border the rest. Or `random:30%`. Or a mask's file: a picture, or an array (H, W),
    (N, H, W), (N, 1 or C, H, W) or (N, H, W, 1 or C); what is above the middle of its range is known.
    """
    count, channels, height, width = images.shape
    if which.startswith("random:"):
        found = re.fullmatch(r"random:([0-9]+(?:\.[0-9]+)?)%", which)
        if found is None or float(found[1]) > 100:
            raise BadInput(f"A share of known pixels is written random:30%, from 0 to 100 %, not {which!r}.")
        drawn = np.random.default_rng(seed).random((count, 1, height, width))
        return torch.from_numpy(drawn < float(found[1]) / 100)
    mask = _part(which, height, width) if which in PARTS else _of_file(Path(which))
    shape = mask.shape
    if mask.ndim == 4 and shape[1:3] == (height, width):
        mask = np.moveaxis(mask, 3, 1)
    mask = mask.reshape(-1, 1, *shape[-2:]) if mask.ndim in (2, 3) else mask
    if mask.ndim != 4 or mask.shape[1] not in (1, channels) or mask.shape[2:] != (height, width):
        size = f"{shape[1]}x{shape[0]}" if len(shape) == 2 else f"of shape {shape}"
        raise BadInput(f"The mask {which} is {size}, but the images are {width}x{height}.")
    if len(mask) != 1 and len(mask) < count:
        raise BadInput(f"The mask {which} is for {len(mask)} images, but there are {count}; lower -n.")
    low, high = float(mask.min()), float(mask.max())
    if not low < high:  # also where one is not a number
        raise BadInput(f"The mask {which} has no two values for images of {width}x{height}: all or nothing is known.")
    return torch.from_numpy(mask[:count] > low / 2 + high / 2).expand(count, -1, -1, -1).clone()


def _of_file(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise BadInput(f"Known pixels are {', '.join(PARTS)}, random:30% or the file of a mask, not {str(path)!r}.")
    with told(f"The mask {path}"):
        if path.suffix.lower() in (".npz", ".npy"):
            arrays = load_arrays(path)
            if "known" not in arrays and len(arrays) != 1:
                raise BadInput(f"The mask {path} has no array known, but {', '.join(arrays) or 'nothing'}.")
            mask = arrays.get("known", next(iter(arrays.values())))
        else:
            with opened(path, path) as (_, picture):
                mask = np.asarray(picture.convert("RGBA"))[:, :, 3] if picture.has_transparency_data else np.zeros(1)
                if mask.min() == mask.max():  # what is alike everywhere says nothing, and brightness counts
                    wide = picture.mode.startswith(("I", "F"))  # pillow would cut it at 255
                    mask = np.asarray(picture if wide else picture.convert("RGB").convert("L"))
    if mask.dtype.kind not in "buif" or mask.size == 0:
        kind = f"{mask.dtype} values of shape {mask.shape}"
        raise BadInput(f"The mask {path} must be of booleans or numbers, not {kind}.")
    return mask


def _part(which: str, height: int, width: int) -> NDArray[np.bool_]:
    known = np.zeros((height, width), dtype=bool)
    half, side = (height // 2, width // 2), (height // 4, width // 4)
    centre = np.s_[side[0] : height - side[0], side[1] : width - side[1]]
    halves = (np.s_[: half[0]], np.s_[height - half[0] :], np.s_[:, : half[1]], np.s_[:, width - half[1] :])
    named: dict[str, Any] = dict(zip(PARTS, halves, strict=False))
    known[named.get(which, centre)] = True
    return ~known if which == "border" else known
