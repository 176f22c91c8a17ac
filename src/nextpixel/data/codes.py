"""Images as grids of codes: each patch is the number of the nearest in a book (vector quantization, Gray 1984)."""

from pathlib import Path

import numpy as np

from nextpixel.errors import BadInput

_FEW = 4096  # patches that are compared with the book at once


def book() -> np.ndarray:
    """The codebook of the set `mnist-codes`: patches, (256, 1, 4, 4), uint8."""
    with np.load(Path(__file__).with_name("mnist-codes.npz")) as file:
        return np.asarray(file["codebook"])


def cut(images: np.ndarray, tall: int, wide: int) -> np.ndarray:
    """The patches that images (N, C, H, W) are made of, a row each: (N·H/tall·W/wide, C·tall·wide), in raster order.

    Raises:
        BadInput: patches do not fill the images.
    """
    count, channels, height, width = images.shape
    if min(tall, wide) < 1 or height % tall or width % wide:
        raise BadInput(f"Patches of {tall}x{wide} do not fill images of {height}x{width}.")
    grid = images.reshape(count, channels, height // tall, tall, width // wide, wide)
    return grid.transpose(0, 2, 4, 1, 3, 5).reshape(-1, channels * tall * wide)


def encode(images: np.ndarray, book: np.ndarray) -> np.ndarray:
    """Codes of images, (N, C, H, W): unsigned integers below K, (N, 1, H/p, W/q); of patches as near, the first one.

    Of levels below 256, and a book of such, distances are exact in float32 for patches of up to 128 numbers, and codes
    are the same on every machine.

    Raises:
        BadInput: patches do not fill the images, or have other channels.
    """
    codes, channels, tall, wide = book.shape
    if images.shape[1] != channels:
        raise BadInput(f"The book has patches of {channels} channels, the images have {images.shape[1]}.")
    patches, vectors = cut(images, tall, wide), book.reshape(codes, -1).astype(np.float32)
    lengths = (vectors**2).sum(1)
    found = np.empty(len(patches), np.min_scalar_type(codes - 1))
    for start in range(0, len(patches), _FEW):
        some = patches[start : start + _FEW].astype(np.float32)
        found[start : start + _FEW] = (lengths - 2 * some @ vectors.T).argmin(1)
    return found.reshape(len(images), 1, images.shape[2] // tall, images.shape[3] // wide)


def decode(codes: np.ndarray, book: np.ndarray) -> np.ndarray:
    """Images of codes, (N, 1, h, w) or (N, h, w): patches of the book side by side, (N, C, h·p, w·q), in its dtype.

    Raises:
        BadInput: a code that the book does not have, or several at a place.
    """
    if codes.ndim == 4 and codes.shape[1] != 1:
        raise BadInput(f"Each place has one code, but these have {codes.shape[1]}.")
    if codes.size and not 0 <= codes.min() <= codes.max() < len(book):
        raise BadInput(f"The book has {len(book)} patches, but codes are from {codes.min()} to {codes.max()}.")
    (count, *_, rows, columns), (_, channels, tall, wide) = codes.shape, book.shape
    patches = book[codes.reshape(count, rows, columns)]
    return patches.transpose(0, 3, 1, 4, 2, 5).reshape(count, channels, rows * tall, columns * wide)
