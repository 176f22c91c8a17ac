import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel.data import Split
from nextpixel.data.lazy import Lazy
from nextpixel.data.transforms import binarise
from nextpixel.errors import BadInput, Damaged
from nextpixel.training.batches import Batches


def numbered(count: int) -> Split:
    return Split(np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1), np.arange(count))


def seen(batches: Batches, epoch: int) -> list[int]:
    steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
    return [int(level) for step in steps for level in batches[step][0].flatten()]


def test_an_epoch_shows_every_image_at_most_once_in_an_order_of_its_own() -> None:
    batches = Batches(numbered(23), size=5, seed=0)
    assert batches.per_epoch == 4
    first, second = seen(batches, 0), seen(batches, 1)
    assert len(set(first)) == len(set(second)) == 20  # the incomplete batch is left out
    assert first != second


def test_the_only_batch_may_be_incomplete() -> None:
    assert sorted(seen(Batches(numbered(3), size=5, seed=0), 7)) == [0, 1, 2]


def test_labels_go_with_their_images() -> None:
    images, labels = Batches(numbered(9), size=4, seed=0, context=npx.ClassLabel(9))[1]
    assert images.flatten().tolist() == labels.tolist()


def test_maps_go_with_their_images_too() -> None:
    split = numbered(9)
    split = replace(split, maps=split.images + 100)
    images, (labels, maps) = Batches(
        split, size=4, seed=0, context=npx.Both(npx.ClassLabel(9), npx.Map(1, levels=109))
    )[1]
    assert images.flatten().tolist() == labels.tolist() == (maps.flatten() - 100).tolist()
    assert Batches(split, size=4, seed=0)[1][1] is None


def test_a_batch_is_the_same_wherever_a_run_starts() -> None:
    split = Split(np.full((40, 1, 4, 4), 128, dtype=np.uint8), None, binarise)
    through = Batches(split, size=8, seed=3)
    every = [through[step][0] for step in range(12)]
    assert torch.equal(Batches(split, size=8, seed=3)[11][0], every[11])
    assert not torch.equal(every[11], every[10])  # noise of its own
    assert not torch.equal(Batches(split, size=8, seed=4)[11][0], every[11])


class Fragile(Lazy):
    """Images of which some cannot be read; each level is the image's number."""

    def __init__(self, count: int, damaged: set[int]) -> None:
        self.count, self.damaged, self.readers = count, damaged, set[int]()

    def __len__(self) -> int:
        return self.count

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.readers.add(threading.get_ident())
        if bad := self.damaged.intersection(indices.tolist()):
            raise Damaged(f"image {min(bad)} is damaged.")
        return indices.astype(np.uint8).reshape(-1, 1, 1, 1)

    def contents(self, indices: np.ndarray) -> np.ndarray:
        return indices.astype(np.uint64)


@pytest.mark.parametrize("draw", [None, lambda images, noise: images + noise.integers(0, 100, images.shape, np.uint8)])
def test_batches_that_are_read_ahead_are_the_same(draw: Any) -> None:
    images = Fragile(40, set())
    lazy, here = Split(images, np.arange(40), draw), replace(numbered(40), draw=draw)
    for parts in ([slice(None)], [slice(0, 3), slice(3, 8)]):
        ahead, plain = (Batches(split, size=8, seed=1, context=npx.ClassLabel(40)) for split in (lazy, here))
        for step in [*range(12), 3, 4, 30]:  # also where a run goes back
            for own in parts:
                for first, second in zip(ahead.part(step, own), plain.part(step, own), strict=True):
                    assert torch.equal(first, second)
        assert ahead.waited > 0
        ahead.close()
    assert threading.get_ident() not in images.readers


def test_the_next_image_stands_in_for_a_damaged_one() -> None:
    split = Split(Fragile(20, {4, 5, 19}), np.arange(20))
    batches, whole = (
        Batches(each, size=5, seed=0, context=npx.ClassLabel(20), unreadable=3) for each in (split, numbered(20))
    )
    for step in range(4):
        images, labels = batches[step]
        wanted = [{4: 6, 5: 6, 19: 0}.get(index, index) for index in whole[step][0].flatten().tolist()]
        assert images.flatten().tolist() == labels.tolist() == wanted
    told = [line for _ in range(2) for line in batches.news()]
    assert sorted(told) == [f"image {number} is damaged: another stands in for it." for number in (19, 4, 5)]


def test_too_many_damaged_images() -> None:
    batches = Batches(Split(Fragile(20, {4, 5, 19})), size=20, seed=0, unreadable=2)
    with pytest.raises(BadInput, match=r"image \d+ is damaged; training\.unreadable allows for 2 such\."):
        batches[0]
    with pytest.raises(BadInput, match="No training image can be read any more"):
        Batches(Split(Fragile(3, {0, 1, 2})), size=2, seed=0, unreadable=9)[0]
