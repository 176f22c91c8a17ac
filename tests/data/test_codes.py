"""Images as grids of codes: the nearest patch of a book, and back."""

import os

import numpy as np
import pytest

from nextpixel.data import open_data
from nextpixel.data.codes import book, decode, encode
from nextpixel.errors import BadInput


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_codes_of_what_the_book_makes_are_those_codes() -> None:
    """Patches that are wider than tall, of three colours, more than a step of comparisons holds."""
    patches = rng().choice(256, size=(300, 3, 2, 4)).astype(np.uint8)
    codes = rng(1).integers(300, size=(50, 1, 9, 11)).astype(np.uint16)
    images = decode(codes, patches)
    assert (images.shape, images.dtype) == ((50, 3, 18, 44), np.uint8)
    assert (encode(images, patches) == codes).all()
    assert encode(images, patches).dtype == np.uint16
    assert (decode(codes[:, 0], patches) == images).all()


def test_a_code_is_the_first_of_the_nearest() -> None:
    patches = np.concatenate([rng().integers(256, size=(40, 1, 4, 4)), np.full((2, 1, 4, 4), 200)]).astype(np.uint8)
    images = rng(1).integers(256, size=(30, 1, 8, 12)).astype(np.uint8)
    images[0] = 200
    codes = encode(images, patches)
    for image, grid in zip(images.astype(int), codes[:, 0], strict=True):
        for row, column in np.ndindex(2, 3):
            patch = image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert grid[row, column] == ((patches.astype(int) - patch) ** 2).sum((1, 2, 3)).argmin()
    assert (codes[0] == 40).all()


def test_what_cannot_be_coded_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="Patches of 4x4 do not fill images of 8x10"):
        encode(np.zeros((1, 1, 8, 10), np.uint8), book())
    with pytest.raises(BadInput, match="The book has patches of 1 channels, the images have 3"):
        encode(np.zeros((1, 3, 8, 8), np.uint8), book())
    with pytest.raises(BadInput, match="Each place has one code, but these have 2"):
        decode(np.zeros((1, 2, 2, 2), np.uint8), book())
    with pytest.raises(BadInput, match="The book has 256 patches, but codes are from 0 to 256"):
        decode(np.array([[[0, 256]]]), book())


def test_no_two_patches_of_the_book_are_alike() -> None:
    assert len(np.unique(book().reshape(256, -1), axis=0)) == 256


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("NEXTPIXEL_DATA"), reason="NEXTPIXEL_DATA names no folder of real data sets")
def test_digits_are_still_themselves_in_codes() -> None:
    """The published figure of the book: 22.86 dB on the test images."""
    digits, codes = open_data("mnist").test.images, open_data("mnist-codes").test.images
    error = ((decode(codes, book()).astype(float) - digits) ** 2).mean()
    assert 10 * np.log10(255**2 / error) == pytest.approx(22.858, abs=1e-3)
