"""What is told and what is kept of a data set: lines for people, and what a run needs to know its images again."""

from typing import Any

import numpy as np

from nextpixel.data.dataset import DataSet, Split

_LOOKED_AT = 4096  # images of a split, evenly spaced


def describe(data: DataSet) -> list[str]:
    """Lines about what was found: what `print(data)` says, and the levels that are seen in the images."""
    name, images, each, *others = repr(data).splitlines()
    seen = np.unique(np.concatenate([_levels(split) for split in data.splits.values()]))
    return [name, images, f"{each}; seen: {len(seen):,} of them, from {seen[0]:,} to {seen[-1]:,}", *others]


def learnt_from(data: DataSet) -> dict[str, Any]:
    """What a model keeps of the data that it learnt from, as JSON values."""
    return {
        "data": data.name,
        "rule": data.rule,
        "class_names": None if data.class_names is None else list(data.class_names),
        "splits": {name: {"images": len(split), "digest": split.digest()} for name, split in data.splits.items()},
    }


def _levels(split: Split) -> np.ndarray:
    some = np.linspace(0, len(split) - 1, min(len(split), _LOOKED_AT)).astype(np.int64)
    return np.unique(split.batch(some, np.random.default_rng(0))[0].numpy())
