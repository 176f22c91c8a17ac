from dataclasses import replace

import numpy as np
import torch

import nextpixel as npx
from nextpixel.data import Split
from nextpixel.data.transforms import binarise
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
