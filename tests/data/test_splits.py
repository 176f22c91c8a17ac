import hashlib
from dataclasses import replace

import numpy as np
import pytest

from nextpixel.data.dataset import DataSet, MapKind, Parts, Split
from nextpixel.data.splits import ORDER_SEED, cut
from nextpixel.errors import BadInput
from nextpixel.spec import ImageSpec


def split(images: int, *, start: int = 0) -> Split:
    """Every image is its own number, and so is its label."""
    numbers = np.arange(start, start + images)
    return Split(numbers.astype(np.uint16)[:, None, None, None], numbers)


def parts(images: int, *, validation: Split | None = None, test: Split | None = None) -> Parts:
    return Parts(ImageSpec(1, 1, 1, levels=65_536), 10_000, split(images), validation, test)


def sizes(data: DataSet) -> tuple[int, int, int]:
    return len(data.train), len(data.validation), len(data.test)


def numbers(some: Split) -> list[int]:
    assert some.labels is not None
    assert (some.images[:, 0, 0, 0] == some.labels).all()
    return some.labels.tolist()


@pytest.mark.parametrize(
    ("images", "expected"), [(3, (1, 1, 1)), (9, (7, 1, 1)), (10, (8, 1, 1)), (29, (25, 2, 2)), (100, (80, 10, 10))]
)
def test_a_tenth_and_at_least_one_by_default(images: int, expected: tuple[int, int, int]) -> None:
    assert sizes(cut(parts(images), "own")) == expected


def test_splits_are_disjoint_and_complete() -> None:
    data = cut(parts(1000), "own", validation=123, test=77)
    assert sizes(data) == (800, 123, 77)
    assert sorted(numbers(data.train) + numbers(data.validation) + numbers(data.test)) == list(range(1000))


def test_the_first_of_a_sorted_source_are_a_sample() -> None:
    first = numbers(cut(parts(1000), "own").train)[:50]
    assert max(first) - min(first) > 800


def test_given_splits_stay_as_they_are() -> None:
    data = cut(parts(10, validation=split(2, start=100), test=split(3, start=200)), "own")
    assert numbers(data.train) == list(range(10))
    assert numbers(data.validation) == [100, 101]
    assert numbers(data.test) == [200, 201, 202]
    only_test = cut(parts(10, test=split(3, start=200)), "own", validation=4)
    assert sizes(only_test) == (6, 4, 3)
    assert numbers(only_test.test) == [200, 201, 202]


def test_the_order_never_changes() -> None:
    """Published figures are of these very splits; a numpy that shuffles otherwise must not go unnoticed."""
    order = np.random.default_rng(ORDER_SEED).permutation(60_000).astype(np.int64)
    assert (
        hashlib.sha256(order.tobytes()).hexdigest()
        == "bdd823561d00db9c48ce0b9df4f5ff7b1e36f880de32162b597592e683c975f2"
    )


@pytest.mark.parametrize("images", [1, 2])
def test_too_few_images(images: int) -> None:
    with pytest.raises(
        BadInput, match=f"own has {images} training images, too few to set 1 aside for validation and 1"
    ):
        cut(parts(images), "own")


def test_a_validation_split_that_leaves_nothing() -> None:
    with pytest.raises(BadInput, match="own has 10 training images, too few to set 9 aside for validation and 1 for"):
        cut(parts(10), "own", validation=9)


@pytest.mark.parametrize("validation", [0, -1, True])
def test_a_validation_size_that_is_none(validation: int) -> None:
    with pytest.raises(BadInput, match=f"validation must be a whole number of images from 1, not {validation}"):
        cut(parts(10), "own", validation=validation)


def test_a_size_for_a_split_that_exists() -> None:
    with pytest.raises(BadInput, match="own has 2 validation images of its own; validation=3 cuts none"):
        cut(parts(10, validation=split(2)), "own", validation=3)


def test_maps_stay_with_their_images() -> None:
    found = parts(20)
    found = replace(found, train=replace(found.train, maps=found.train.images + 1000), maps=MapKind(1, 1020))
    data = cut(found, "own")
    assert data.maps == found.maps
    for some in (data.train, data.validation, data.test):
        assert some.maps is not None
        assert (some.maps == some.images + 1000).all()
    own = cut(replace(found, validation=found.train, test=found.train), "own")
    assert own.maps == found.maps
