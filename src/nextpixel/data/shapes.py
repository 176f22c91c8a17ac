"""Binary shapes, made here by a fixed seed: discs, squares, triangles and crosses of any place, size and rotation.

A shape is a set of pixel centres, found in whole numbers (of 1/64 of a pixel; directions in 1/1024), so that the images
are the same on every machine. No two are alike, so no test image is a training image.
"""

import math
from pathlib import Path

import numpy as np

from nextpixel.data.dataset import Parts, Split
from nextpixel.spec import ImageSpec

SHAPES = ("disc", "square", "triangle", "cross")  # in the order of their labels
SIDE = 20  # pixels
IMAGES = 13_000
SHAPE_SEED = 198

_UNIT = 64  # of lengths, in a pixel
_SMALLEST, _LARGEST = 4 * _UNIT, 8 * _UNIT  # radius of the circle around a shape
_ANGLES = 720
_ONE = 1024  # the length of a direction
_DIRECTIONS = np.array(
    [[round(_ONE * function(2 * math.pi * k / _ANGLES)) for k in range(_ANGLES)] for function in (math.cos, math.sin)]
)


def load_shapes(root: str | Path | None) -> Parts:
    """All images, two levels."""
    images, labels = draw_shapes(IMAGES, seed=SHAPE_SEED)
    return Parts(ImageSpec(1, SIDE, SIDE, levels=2), len(SHAPES), Split(images, labels))


def draw_shapes(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw so many images (N, 1, 20, 20) of 0 and 1 that all differ, equally many of each shape, and their labels."""
    noise, each = np.random.default_rng(seed), count // len(SHAPES)
    tries = 2 * each  # more than are wanted, since some come twice
    images = np.concatenate([_draw(shape, tries, noise) for shape in SHAPES])
    labels = np.repeat(np.arange(len(SHAPES)), tries)
    packed = np.packbits(images.reshape(len(images), -1), axis=1)
    first = np.sort(np.unique(packed.view(f"V{packed.shape[1]}")[:, 0], return_index=True)[1])
    kept = np.concatenate([first[labels[first] == label][:each] for label in range(len(SHAPES))])
    assert len(kept) == count, "too few different shapes: draw more"
    return images[kept][:, None].astype(np.uint8), labels[kept]


def _draw(shape: str, count: int, noise: np.random.Generator) -> np.ndarray:
    """Booleans, shape (N, 20, 20)."""
    size, turn, down, right = noise.integers(2**16, size=(4, count, 1, 1))
    radius = _SMALLEST + ((_LARGEST - _SMALLEST) * size >> 16)
    room = SIDE * _UNIT - 2 * radius  # where the centre may be, so that nothing is cut off
    centres = _UNIT * np.arange(SIDE) + _UNIT // 2
    y = centres[:, None] - radius - (room * down >> 16)
    x = centres - radius - (room * right >> 16)
    cosine, sine = _DIRECTIONS[:, _ANGLES * turn >> 16]
    u, v, reach = cosine * x + sine * y, cosine * y - sine * x, _ONE * radius  # the axes of the shape
    match shape:
        case "disc":
            return x * x + y * y <= radius * radius
        case "square":  # corners on the circle: half a side is 17/24 of the radius
            return 24 * np.maximum(abs(u), abs(v)) <= 17 * reach
        case "triangle":  # likewise; half the root of 3 is 13/15
            return (2 * v <= reach) & (26 * abs(u) - 15 * v <= 15 * reach)
        case _:
            long, wide = 19 * reach, 6 * reach
            u, v = 20 * abs(u), 20 * abs(v)
            return ((u <= wide) & (v <= long)) | ((v <= wide) & (u <= long))
