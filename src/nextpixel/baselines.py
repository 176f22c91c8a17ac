"""What images cost without any network: the figures beside which a model's bits per dimension mean something."""

import io
import math
import zlib

import numpy as np
from PIL import Image, features

from nextpixel.data import Split
from nextpixel.data.dataset import evenly
from nextpixel.spec import ImageSpec

_LEARNT_FROM, _COMPRESSED = 10_000, 1_000  # images at the most, evenly spaced
_MOST_COUNTS = 2**26  # of a table of levels at places


def baselines(spec: ImageSpec, train: Split, split: Split, *, images: int | None = None) -> dict[str, float]:
    """Bits per dimension of a split's images, all or the first so many, by the way that they are coded.

    "uniform": all levels alike. "independent pixels": how often each level stands at each place of the training images,
    each count plus one (left out where that table would be too large). "PNG", or "zlib" where there is no such PNG: all
    images below each other in one file.

    Example:
        >>> from nextpixel.data import open_data
        >>> data = open_data("digits")
        >>> {name: round(bits, 1) for name, bits in baselines(data.spec, data.train, data.test).items()}
        {'uniform': 4.1, 'independent pixels': 2.4, 'PNG': 4.0}
    """
    count = len(split) if images is None else min(images, len(split))
    found = {"uniform": math.log2(spec.levels)}
    if spec.levels * spec.subpixels <= _MOST_COUNTS:
        learnt, coded = _some(train, len(train), _LEARNT_FROM), _some(split, count, _LEARNT_FROM)
        found["independent pixels"] = _independent(spec, learnt, coded)
    some, form = _some(split, count, _COMPRESSED), formats(spec)[0]
    found[form] = 8 * lossless(some, spec, form) / some.size
    return found


def compared(bits: float, found: dict[str, float]) -> str:
    """Bits per dimension beside those of the baselines, in words; with a warning where nothing was learnt."""
    beside = ", ".join(f"{name} {other:.3f}" for name, other in found.items())
    return f"{beside}; WORSE THAN UNIFORM: nothing was learnt" if bits >= found["uniform"] else beside


def formats(spec: ImageSpec) -> tuple[str, ...]:
    """The kinds of file that keep such images without loss: PNG and WebP, or zlib where levels are no brightness."""
    if not ((spec.ordinal or spec.levels == 2) and spec.levels <= 256 and spec.channels in (1, 3)):
        return ("zlib",)
    return ("PNG", "WebP") if features.check("webp") and max(spec.height, spec.width) < 2**14 else ("PNG",)


def lossless(images: np.ndarray, spec: ImageSpec, form: str) -> int:
    """Bytes of images (N, C, H, W), all below each other, as one file of one of the `formats`; its head is counted."""
    if form == "zlib":
        return len(zlib.compress(images.astype(np.min_scalar_type(spec.levels - 1)).tobytes(), 9))
    column = np.moveaxis(images.astype(np.uint8), 1, 3).reshape(-1, spec.width, spec.channels)
    picture = Image.fromarray(column if spec.channels == 3 else column[..., 0])
    if spec.levels == 2 and spec.channels == 1:
        picture = picture.point([0, *[255] * 255], "1")
    stream = io.BytesIO()
    picture.save(stream, form, optimize=True, lossless=True)
    return stream.tell()


def _some(split: Split, count: int, most: int) -> np.ndarray:
    """Images of the first `count`, evenly spaced, (N, C, H, W)."""
    most = most if isinstance(split.images, np.ndarray) else min(most, _COMPRESSED)  # on disk
    return split.batch(evenly(count, most), np.random.default_rng(0))[0].numpy()


def _independent(spec: ImageSpec, train: np.ndarray, images: np.ndarray) -> float:
    places = np.arange(spec.subpixels) * spec.levels
    counts = np.ones(spec.subpixels * spec.levels)
    for image in train:
        counts[places + image.ravel()] += 1
    bits = -np.log2(counts / (len(train) + spec.levels))
    return float(np.mean([bits[places + image.ravel()].mean() for image in images]))
