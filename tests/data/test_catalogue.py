"""The rows of the catalogue say what opening them gives. Sets neither installed nor generated need NEXTPIXEL_DATA."""

import hashlib
import os

import numpy as np
import pytest

from nextpixel.data import CATALOGUE, DataSet, Split, open_data

ALWAYS_HERE = ("digits", "shapes", "shapes-coloured")
needs_data = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("NEXTPIXEL_DATA"), reason="NEXTPIXEL_DATA names no folder of real data sets"),
]
every_set = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS_HERE else needs_data) for name in CATALOGUE]
)


def skip_unless_here(name: str) -> None:
    """No test downloads a data set, or asks for one that is got by hand."""
    if not CATALOGUE[name].find(None).startswith(("here", "in the data root")):
        pytest.skip(f"{name} is not below NEXTPIXEL_DATA")


def levels_of(data: DataSet) -> list[int]:
    return [int(split.images.max()) + 1 for split in (data.train, data.validation, data.test)]


def splits_of(data: DataSet) -> tuple[Split, Split, Split]:
    return data.train, data.validation, data.test


@every_set
def test_a_row_tells_the_truth(name: str) -> None:
    skip_unless_here(name)
    row, data = CATALOGUE[name], open_data(name)
    assert data.name == name
    assert data.spec == row.spec
    assert data.classes == row.classes
    assert tuple(len(split) for split in splits_of(data)) == row.sizes
    for split in splits_of(data):
        images, labels = split.batch(range(100), np.random.default_rng(0))
        data.spec.check(images)
        assert split.labels is not None
        assert data.classes is not None
        assert set(split.labels) == set(range(data.classes))
        assert labels is not None
        assert len(labels) == 100


@every_set
def test_a_set_opens_alike_every_time(name: str) -> None:
    skip_unless_here(name)
    first, second = open_data(name, limit=50), open_data(name)
    for some, all_of_it in zip(splits_of(first), splits_of(second), strict=True):
        assert len(some) == 50
        assert (some.images[:] == all_of_it.images[:50]).all()
        if isinstance(all_of_it.images, np.ndarray):
            assert all_of_it.images.flags.writeable  # torch warns of others


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_row_says_where_its_images_are(name: str) -> None:
    place = CATALOGUE[name].find(None)
    if name in ALWAYS_HERE:
        assert place.startswith("here, ")
    elif name.startswith("imagenet"):
        assert place.startswith("to be got by hand: put it in NEXTPIXEL_DATA/imagenet")
    else:
        assert place == "not here yet, to be downloaded when first opened"


def test_digits_are_those_of_scikit_learn_in_its_order() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    ours = CATALOGUE["digits"].load(None).train
    assert ours.labels is not None
    assert (ours.images.dtype, ours.labels.dtype) == (np.uint8, np.int64)
    assert (ours.images.reshape(-1, 64) == images).all()
    assert (ours.labels == labels).all()


@pytest.mark.parametrize(
    ("split", "hashed"),
    [
        ("train", "f79b3e11853f4230f975f9607782a540c54507f736facf19c4d674c2a8052abd"),
        ("validation", "effb193f08c41066b5879b916319ab96d0291f56a52f50c3aad6c9345de806c9"),
        ("test", "44576ed4e366773bdb563623bb628c5408602da5936293a45b275b4ad1feb3ad"),
    ],
)
def test_the_splits_of_digits_never_change(split: str, hashed: str) -> None:
    """Those of scikit-learn's images, before they were shipped; figures are of these very images and classes."""
    found = open_data("digits").splits[split]
    assert found.labels is not None
    assert hashlib.sha256(found.images.tobytes() + found.labels.tobytes()).hexdigest() == hashed


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


@pytest.mark.parametrize("name", [pytest.param("mnist-coloured", marks=needs_data)])
def test_coloured_digits_are_the_digits_in_two_colours(name: str) -> None:
    data, grey = open_data(name), open_data("mnist")
    for coloured, source in zip(splits_of(data), splits_of(grey), strict=True):
        assert coloured.labels is not None
        assert source.labels is not None
        assert (coloured.labels == source.labels).all()
        ones = source.images > 127
        assert not ones[:, :, 0, 0].any()
        assert ((coloured.images != coloured.images[:, :, :1, :1]).any(axis=1, keepdims=True) == ones).all()
    assert levels_of(data) == [4, 4, 4]


@pytest.mark.parametrize("name", [pytest.param("mnist-coloured", marks=needs_data)])
def test_the_coloured_test_images_never_change(name: str) -> None:
    """Published figures are of these very images, and other cuts have the same colours."""
    data, other = open_data(name), open_data(name, validation=1)
    assert (
        hashlib.sha256(data.test.images.tobytes()).hexdigest()
        == "97bca39049ff26ed8fb44d45da3cb999d848728dbdf524d3d453adf5b2535b5b"
    )
    assert (
        hashlib.sha256(data.validation.images.tobytes()).hexdigest()
        == "d654f740ffe0dbe81e00e64db9bbacc3040306f06e41293d2db3cb266e966e34"
    )
    assert (other.train.images[:55_000] == data.train.images).all()
