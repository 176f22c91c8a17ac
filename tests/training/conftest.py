"""A data set of striped images that a tiny model learns in a few steps."""

import numpy as np
import pytest

import nextpixel as npx
from nextpixel.data import DataSet, Split

SPEC = npx.ImageSpec(channels=1, height=4, width=5, levels=3)


def stripes(count: int, seed: int) -> Split:
    noise = np.random.default_rng(seed)
    labels = noise.integers(0, 2, count)
    rows = np.where(labels == 0, 0, 2)[:, None, None, None] * np.ones((1, 1, 4, 5))
    flipped = noise.random((count, 1, 4, 5)) < 0.1
    return Split(np.where(flipped, 1, rows).astype(np.uint8), labels.astype(np.int64))


@pytest.fixture
def data() -> DataSet:
    return DataSet("stripes", SPEC, 2, stripes(40, 1), stripes(12, 2), stripes(12, 3))


@pytest.fixture
def model() -> npx.Autoregressive:
    return npx.build("gated_pixelcnn", SPEC, context=npx.ClassLabel(2), filters=4, blocks=1, head=4, dropout=0.2)
