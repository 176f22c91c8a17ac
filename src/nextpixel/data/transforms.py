"""What may happen to levels between the source and the model; all of it exact, in integers."""

import numpy as np

from nextpixel.errors import BadInput


def threshold(images: np.ndarray, above: int = 127) -> np.ndarray:
    """1 where a level is above the threshold, else 0."""
    return (images > above).astype(np.uint8)


def binarise(images: np.ndarray, noise: np.random.Generator, *, levels: int = 256) -> np.ndarray:
    """Draw every sub-pixel: 1 with probability level / (levels - 1), else 0.

    A whole number from [0, levels - 1) is below the level with exactly that probability.
    """
    top = np.min_scalar_type(levels - 1)
    return (noise.integers(0, levels - 1, size=images.shape, dtype=top) < images).astype(np.uint8)


def reduce_bits(images: np.ndarray, bits: int, *, levels: int = 256) -> np.ndarray:
    """Keep 2**bits levels of unsigned integers in [0, levels), of any shape: floor(level · 2**bits / levels).

    Raises:
        BadInput: bits that are less than 1, or so many that levels do not become fewer.
    """
    most = (levels - 1).bit_length() - 1  # the largest b with 2**b < levels
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= most:
        allowed = f"a whole number from 1 to {most}" if most >= 1 else "left out"
        raise BadInput(f"bits must be {allowed} for images of {levels} levels, not {bits!r}.")
    table = np.arange(levels, dtype=np.uint64) * np.uint64(2**bits) // np.uint64(levels)
    return table.astype(np.min_scalar_type(2**bits - 1))[images]


def paint(shapes: np.ndarray, noise: np.random.Generator, *, levels: int = 4) -> np.ndarray:
    """Give the ones of each image one colour and its zeros another, both drawn for the image.

    Args:
        shapes: 0 and 1, shape (N, 1, H, W).
        noise: one number is drawn for each image, so the first images do not depend on how many follow.
        levels: of red, of green and of blue (L). All pairs of different colours are equally likely.

    Returns:
        Levels, shape (N, 3, H, W).
    """
    colours = levels**3
    front, others = np.divmod(noise.integers(colours * (colours - 1), size=len(shapes)), colours - 1)
    back = (front + 1 + others) % colours
    place = np.array([levels**2, levels, 1])
    ones, zeros = (
        (colour[:, None] // place % levels).astype(np.min_scalar_type(levels - 1))[:, :, None, None]
        for colour in (front, back)
    )
    return np.where(shapes == 1, ones, zeros)


def desaturate(images: np.ndarray) -> np.ndarray:
    """The brightness of red, green and blue: floor((19595·R + 38470·G + 7471·B + 32768) / 65536).

    These are the weights 0.299, 0.587 and 0.114 of ITU-R 601 in 1/65536, rounded half up, as pillow (mode L) and so
    torchvision compute them. Images are uint8 or uint16, shape (N, 3, H, W); what is returned is so too, (N, 1, H, W).
    """
    total = np.full_like(images[:, :1], 32_768, dtype=np.uint32)
    for channel, weight in enumerate((19_595, 38_470, 7_471)):  # one at a time, for the sake of the memory
        total += images[:, channel : channel + 1] * np.uint32(weight)
    return (total >> 16).astype(images.dtype)
