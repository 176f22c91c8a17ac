from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextpixel.data.lazy import Lazy, View, change, choose, contents

IMAGES = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(2, axis=2)
EVEN = np.arange(10) % 2 == 0


class Counting(Lazy):
    """Images that remember which of them were read."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __len__(self) -> int:
        return len(IMAGES)

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.seen += indices.tolist()
        return IMAGES[indices]

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return contents(IMAGES, indices)


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    np.save(tmp_path / "images.npy", IMAGES)
    return np.load(tmp_path / "images.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "indices",
    [[3, 1, 3], [], [-1], np.array([9, 0], np.uint8), slice(2, 5), slice(None), slice(None, None, -3), 4, -10, EVEN],
    ids=str,
)
@pytest.mark.parametrize(
    "make",
    [
        Counting,
        lambda: View([IMAGES[:4], IMAGES[:0], IMAGES[4:5], IMAGES[5:]]),
        lambda: View([Counting()]),
        lambda: choose(View([IMAGES[5:], IMAGES[:5]]), np.array([5, 6, 7, 8, 9, 0, 1, 2, 3, 4])),
        lambda: View([IMAGES], function=lambda images: images.copy()),
    ],
    ids=["own", "stacked", "one", "chosen", "changed"],
)
def test_indexed_like_an_array(make: Callable[[], Lazy], indices: Any) -> None:
    images = make()
    assert len(images) == 10
    assert (contents(images) == contents(IMAGES)).all()
    found, expected = images[indices], IMAGES[indices]
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert (found == expected).all()


@pytest.mark.parametrize("index", [10, -11, [0, 10]])
def test_no_image_beyond_the_last(index: Any) -> None:
    with pytest.raises(IndexError):
        Counting()[index]


def test_only_what_is_indexed_is_read() -> None:
    source = Counting()
    chosen = choose(choose(change(View([source, IMAGES]), lambda images: images // 2), slice(1, 20, 2)), np.arange(3))
    assert len(chosen) == 3
    assert source.seen == []
    assert chosen[[2]].flatten().tolist() == [2, 2]
    assert source.seen == [5]


def test_a_choice_of_a_choice_is_one() -> None:
    source = Counting()
    chosen = choose(choose(source, np.array([4, 5, 6])), np.array([2, 0]))
    assert isinstance(chosen, View)
    assert chosen.sources == [source]
    assert chosen.indices.tolist() == [6, 4]


def test_what_is_in_memory_is_an_array_at_once() -> None:
    assert isinstance(choose(IMAGES, np.array([1])), np.ndarray)
    assert isinstance(change(IMAGES, lambda images: images + 1), np.ndarray)


def test_a_memory_map_stays_one(mapped: np.ndarray) -> None:
    chosen = choose(mapped, np.array([7, 3]))
    assert isinstance(chosen, View)
    assert chosen.sources[0] is mapped
    halved = change(chosen, lambda images: images // 2)
    assert isinstance(halved, View)
    assert halved.sources[0] is mapped
    assert halved[:].flatten().tolist() == [3, 3, 1, 1]


def test_what_is_read_of_a_map_may_be_changed(mapped: np.ndarray) -> None:
    """Torch warns of tensors over memory that is not writable."""
    assert View([mapped, mapped])[[1]].flags.writeable
    assert choose(mapped, np.array([1]))[[0]].flags.writeable
