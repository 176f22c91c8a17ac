import numpy as np
import pytest
from PIL import Image, ImageOps

from nextpixel.data.readers.options import FITS, Options
from nextpixel.errors import BadInput

NOISE = np.random.default_rng(0)


def picture(channels: int, height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    return NOISE.integers(0, 256, (channels, height, width)).astype(dtype)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("size", [8, "8", "5x9", "1x1"], ids=repr)
@pytest.mark.parametrize("shape", [(1, 20, 31), (3, 8, 8), (3, 9, 200), (1, 300, 10)], ids=str)
def test_every_picture_becomes_images_of_one_size(fit, channels, size, shape) -> None:
    fitting = Options(size=size, fit=fit, channels=channels)
    rows, columns = (8, 8) if str(size) == "8" else map(int, str(size).split("x"))
    for dtype in (np.uint8, np.uint16):
        images = fitting.fitted(picture(shape[0], shape[1], shape[2], dtype))
        assert images.shape == (fitting.count(*shape[1:]), channels or shape[0], rows, columns)
        assert images.dtype == dtype


def test_reduction_is_that_of_pillow() -> None:
    colours = picture(3, 64, 48)
    opened = Image.fromarray(np.moveaxis(colours, 0, 2))
    stretched = opened.resize((10, 12), Image.Resampling.LANCZOS)
    assert (Options(size="12x10", fit="stretch").fitted(colours)[0] == np.moveaxis(np.asarray(stretched), 2, 0)).all()
    cropped = ImageOps.fit(opened, (16, 16), Image.Resampling.LANCZOS)
    assert (Options(size=16).fitted(colours)[0] == np.moveaxis(np.asarray(cropped), 2, 0)).all()
    grey = Options(channels=1).fitted(colours)[0, 0]
    assert (grey == np.asarray(opened.convert("L"))).all()
    wide = Options(size="12x10", fit="stretch").fitted(colours.astype(np.uint16))[0].astype(int)
    assert np.abs(wide - np.moveaxis(np.asarray(stretched), 2, 0)).max() <= 1


def test_a_reduced_picture_has_no_aliases() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 64)[None, None].repeat(128, 1)
    assert np.ptp(Options(size=16).fitted(stripes)) < 12


def test_what_is_kept_is_the_middle_and_what_is_added_is_black() -> None:
    wide = np.zeros((1, 10, 30), np.uint8)
    wide[:, :, 10:20] = 200
    assert (Options(size=10, fit="crop").fitted(wide) == 200).all()
    padded = Options(size=30, fit="pad").fitted(np.full((1, 10, 30), 90, np.uint8))[0, 0]
    assert (padded[10:20] == 90).all()
    assert not padded[:10].any()
    assert not padded[20:].any()


def test_tiles_are_the_picture() -> None:
    whole = picture(3, 21, 14)
    tiles = Options(size="10x7", fit="tiles").fitted(whole)
    assert len(tiles) == 4
    assert (tiles[1] == whole[:, :10, 7:14]).all()
    assert (tiles[2] == whole[:, 10:20, :7]).all()
    assert len(Options(size=30, fit="tiles").fitted(whole)) == 0


@pytest.mark.parametrize("size", [0, -3, "x", "3x", "3x4x5", "32 x 32", "1.5", True, 10**9, "99999x99999", "٣"])
def test_a_size_that_is_none(size) -> None:
    with pytest.raises(BadInput, match="size must be a number of pixels from 1 to 16384, or HxW such as 32x48, not"):
        Options(size=size)


def test_other_settings_that_are_none() -> None:
    with pytest.raises(BadInput, match="fit must be crop, pad, stretch or tiles, not 'fill'"):
        Options(size=3, fit="fill")
    with pytest.raises(BadInput, match="channels must be 1 or 3, not 2"):
        Options(channels=2)
    with pytest.raises(BadInput, match="fit=tiles needs a size, such as 32"):
        Options(fit="tiles")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", ["1", "3", "7x5", "32", "28x31"])
def test_pictures_of_any_size_fit(size: str, fit: str) -> None:
    """Ratios that are rounded up would ask for more than the picture has."""
    fitting = Options(size=size, fit=fit)
    rows, columns = (int(side) for side in (size.split("x") * 2)[:2])
    for height in range(1, 80):
        for width in (1, 2, height, height + 1, 41, 49, 100):
            shape = fitting.fitted(np.zeros((1, height, width), np.uint8)).shape
            assert shape == (1, 1, rows, columns), (height, width)
