import hashlib

import numpy as np
import pytest

from nextpixel.data import open_data
from nextpixel.data.catalogue import CATALOGUE
from nextpixel.data.shapes import IMAGES, SHAPE_SEED, SHAPES, draw_shapes, load_shapes


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    return draw_shapes(IMAGES, seed=SHAPE_SEED)


def test_shapes_never_change(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Published figures are of these very images; they are the same on every machine."""
    images, labels = drawn
    assert images.dtype == np.uint8
    assert images.shape == (13_000, 1, 20, 20)
    assert (
        hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
        == "d000c35f55f104c4e491f61b154003aab08b60d47db3b3fb27e78c24e0599d4b"
    )


def test_no_two_images_are_alike(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    assert len({image.tobytes() for image in drawn[0]}) == 13_000


def test_no_image_is_in_two_splits() -> None:
    data = open_data("shapes")
    splits = [{image.tobytes() for image in split.images} for split in (data.train, data.validation, data.test)]
    assert [len(split) for split in splits] == [10_000, 1_000, 2_000]
    assert len(set.union(*splits)) == 13_000


def test_every_shape_is_as_frequent(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.bincount(drawn[1]).tolist() == [3_250] * 4


def test_shapes_are_whole_and_of_many_sizes(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = drawn
    for label in range(len(SHAPES)):
        some = images[labels == label, 0]
        areas = some.sum(axis=(1, 2))
        assert areas.min() > 10
        assert areas.max() > 2.5 * areas.min()
        assert some.any(axis=(0, 1)).all()  # every column
        assert some.any(axis=(0, 2)).all()  # every row
        border = np.ones((20, 20), bool)
        border[1:-1, 1:-1] = False
        assert some[:, border].mean() < 0.05  # they touch the border, but are not cut by it


@pytest.mark.parametrize(("shape", "share"), [("disc", 1.0), ("square", 0.637), ("triangle", 0.413), ("cross", 0.613)])
def test_areas_are_those_of_geometry(drawn: tuple[np.ndarray, np.ndarray], shape: str, share: float) -> None:
    """Of the circle around a shape, whose radius is from 4 to 8 pixels, evenly. Standard error: below 0.01 of it."""
    images, labels = drawn
    areas = images[labels == SHAPES.index(shape)].sum(axis=(1, 2, 3), dtype=float)
    circle = np.pi * (8**3 - 4**3) / 3 / 4
    assert areas.mean() / circle == pytest.approx(share, rel=0.05)


def test_other_seeds_make_other_shapes() -> None:
    first, second = (draw_shapes(40, seed=seed)[0] for seed in (1, 2))
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_colours_do_not_change_shapes() -> None:
    plain, coloured = load_shapes(None), CATALOGUE["shapes-coloured"].load(None)
    assert coloured.train.labels is not None
    assert plain.train.labels is not None
    assert (coloured.train.labels == plain.train.labels).all()
    background = coloured.train.images[:, :, :1, :1] != coloured.train.images
    ones = plain.train.images[:, 0] == 1
    corner = plain.train.images[:, 0, :1, :1] == 1  # the corner is background, except where a shape covers it
    assert (background.any(axis=1) == (ones ^ corner)).all()


def test_colours_never_change() -> None:
    images = CATALOGUE["shapes-coloured"].load(None).train.images
    assert images.dtype == np.uint8
    assert (
        hashlib.sha256(images.tobytes()).hexdigest()
        == "4db1285d61923c5e11897a64d927ba2b6d118ce3f1dab62b95b97d9ddd6a5e8c"
    )
