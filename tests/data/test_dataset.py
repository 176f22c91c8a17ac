from pathlib import Path

import numpy as np
import pytest
import torch

from nextpixel.data import open_data
from nextpixel.data.dataset import Split

NOISE = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("stored", "expected"), [(np.uint8, torch.uint8), (np.uint16, torch.int32), (np.uint32, torch.int32)]
)
def test_a_batch_has_the_images_asked_for(stored: type, expected: torch.dtype) -> None:
    top = min(np.iinfo(stored).max, 100_000)
    images = np.array([0, 1, top], stored)[:, None, None, None]
    batch, labels = Split(images, np.array([5, 6, 7])).batch([2, 0, 2], NOISE)
    assert batch.dtype == expected
    assert batch.flatten().tolist() == [top, 0, top]
    assert labels is not None
    assert labels.dtype == torch.int64
    assert labels.tolist() == [7, 5, 7]


@pytest.mark.parametrize("indices", [[1, 0], np.array([1, 0], np.uint8), torch.tensor([1, 0])])
def test_any_integers_are_indices(indices: list[int] | np.ndarray | torch.Tensor) -> None:
    batch, labels = Split(np.arange(4, dtype=np.uint8).reshape(2, 1, 2, 1)).batch(indices, NOISE)
    assert batch.tolist() == [[[[2], [3]]], [[[0], [1]]]]
    assert labels is None


def test_a_batch_is_a_copy() -> None:
    split = Split(np.zeros((2, 1, 1, 1), np.uint8), np.zeros(2, np.int64))
    batch, labels = split.batch([0, 1], NOISE)
    assert labels is not None
    batch += 1
    labels += 1
    assert not split.images.any()
    assert split.labels is not None
    assert not split.labels.any()


def test_a_batch_may_be_empty() -> None:
    batch, _ = Split(np.zeros((2, 1, 3, 4), np.uint8)).batch([], NOISE)
    assert batch.shape == (0, 1, 3, 4)


def test_images_may_stay_on_disk(tmp_path: Path) -> None:
    images = np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2)
    np.save(tmp_path / "images.npy", images)
    batch, _ = Split(np.load(tmp_path / "images.npy", mmap_mode="r")).batch([1], NOISE)
    assert batch.flatten().tolist() == [4, 5, 6, 7]


def test_a_split_that_draws_does_so_for_every_batch() -> None:
    split = Split(
        np.zeros((1, 1, 8, 8), np.uint8), draw=lambda images, noise: images + noise.integers(9, dtype=np.uint8)
    )
    noise = np.random.default_rng(0)
    assert len({int(split.batch([0], noise)[0].max()) for _ in range(20)}) > 3
    again, same = (split.batch([0], np.random.default_rng(1))[0] for _ in range(2))
    assert torch.equal(again, same)
    assert split.take(slice(1)).draw is split.draw


def test_what_is_taken_of_images_on_disk_stays_there(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1))
    split = Split(np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(12))
    some = split.take(np.array([7, 3, 5])).take(slice(2))
    assert not isinstance(some.images, np.ndarray)
    assert len(some) == 2
    batch, labels = some.batch([1, 0, 1], NOISE)
    assert batch.flatten().tolist() == [3, 7, 3]
    assert labels is not None
    assert labels.tolist() == [3, 7, 3]


def test_maps_are_taken_with_their_images(tmp_path: Path) -> None:
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    np.save(tmp_path / "maps.npy", images + 100)
    for maps in (images + 100, np.load(tmp_path / "maps.npy", mmap_mode="r")):
        some = Split(images, maps=maps).take(np.array([7, 3, 5])).take(slice(2))
        assert some.images.flatten().tolist() == [7, 3]
        assert some.maps is not None
        assert some.maps[:].flatten().tolist() == [107, 103]


def test_a_printed_data_set_says_what_it_is_and_shows_no_numbers() -> None:
    data = open_data("digits")
    assert str(data).splitlines()[:3] == [
        "digits",
        "  images: 1,257 train, 180 validation, 360 test (by a fixed seed)",
        "  each: 1x8x8, 17 levels",
    ]
    assert "0 178, 1 182" in repr(data)
    assert repr(data.test) == "Split of 360 images with labels"
    assert repr(Split(np.zeros((3, 1, 2, 2), np.uint8))) == "Split of 3 images"
