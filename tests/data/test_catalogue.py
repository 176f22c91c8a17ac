"""The rows of the catalogue say what opening them gives. MNIST and Fashion-MNIST themselves need NEXTPIXEL_DATA."""

import hashlib
import os

import numpy as np
import pytest

from nextpixel.data import CATALOGUE, DataSet, open_data

needs_data = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("NEXTPIXEL_DATA"), reason="NEXTPIXEL_DATA names no folder of real data sets"),
]
every_set = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "digits" else needs_data) for name in CATALOGUE]
)


def levels_of(data: DataSet) -> list[int]:
    return [int(split.images.max()) + 1 for split in (data.train, data.validation, data.test)]


@every_set
def test_a_row_tells_the_truth(name: str) -> None:
    row, data = CATALOGUE[name], open_data(name)
    splits = (data.train, data.validation, data.test)
    assert data.name == name
    assert data.spec == row.spec
    assert data.classes == row.classes
    assert tuple(len(split) for split in splits) == row.sizes
    for split in splits:
        images, labels = split.batch(range(100), np.random.default_rng(0))
        data.spec.check(images)
        assert split.images.flags.writeable  # torch warns of others
        assert split.labels is not None
        assert set(split.labels) == set(range(10))
        assert labels is not None
        assert len(labels) == 100


@every_set
def test_a_set_opens_alike_every_time(name: str) -> None:
    first, second = open_data(name, limit=50), open_data(name)
    for some, all_of_it in (
        (first.train, second.train),
        (first.validation, second.validation),
        (first.test, second.test),
    ):
        assert len(some) == 50
        assert (some.images == all_of_it.images[:50]).all()


def test_digits_are_those_of_the_package() -> None:
    from sklearn.datasets import load_digits

    data = open_data("digits")
    ours = np.concatenate([split.images for split in (data.train, data.validation, data.test)])
    theirs = np.asarray(load_digits(return_X_y=True)[0], np.uint8)
    assert sorted(image.tobytes() for image in ours) == sorted(image.tobytes() for image in theirs)


@pytest.mark.parametrize("name", [pytest.param("mnist-binary", marks=needs_data)])
def test_only_training_images_are_drawn_for_every_batch(name: str) -> None:
    data, noise = open_data(name), np.random.default_rng(0)
    for split, changes in ((data.train, True), (data.validation, False), (data.test, False)):
        first, second = (split.batch(range(10), noise)[0] for _ in range(2))
        assert bool((first != second).any()) == changes
    assert levels_of(data) == [256, 2, 2]


@pytest.mark.parametrize("name", [pytest.param("mnist-binary", marks=needs_data)])
def test_the_binary_test_images_never_change(name: str) -> None:
    """Published figures are of these very images."""
    data = open_data(name)
    grey = open_data("mnist")
    assert (
        hashlib.sha256(data.test.images.tobytes()).hexdigest()
        == "66279a90330cdb5be033f62fbb157c856344ee7c564e2e00a94b13b8dbedff58"
    )
    assert (data.train.images == grey.train.images).all()
    for binary, source in ((data.validation, grey.validation), (data.test, grey.test)):
        assert not binary.images[source.images == 0].any()
        assert binary.images[source.images == 255].all()
        # Bernoulli noise of 4 to 8 million sub-pixels: 5 standard deviations are below 0.0009.
        assert binary.images.mean() == pytest.approx(source.images.mean() / 255, abs=0.001)


@pytest.mark.parametrize("name", [pytest.param("mnist-threshold", marks=needs_data)])
def test_the_threshold_is_127(name: str) -> None:
    data, grey = open_data(name), open_data("mnist")
    for binary, source in ((data.train, grey.train), (data.validation, grey.validation), (data.test, grey.test)):
        assert (binary.images == (source.images > 127)).all()
