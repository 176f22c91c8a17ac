"""What is told and what is kept of a data set: lines for people, and what a run needs to know its images again."""

from typing import Any

import numpy as np

from nextpixel.data.dataset import DataSet, Split

_LOOKED_AT = 4096  # images of a split, evenly spaced
_MOST_CLASSES = 20  # named in a line


def describe(data: DataSet) -> list[str]:
    """Lines about what was found: splits and where they come from, shape, levels seen, classes, what was skipped."""
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    seen = np.unique(np.concatenate([_levels(split) for split in data.splits.values()]))
    kind = "levels" if data.spec.ordinal else "names"
    return [
        data.name,
        f"  images: {sizes} ({data.rule})",
        f"  each: {'x'.join(map(str, data.spec.shape))}, {data.spec.levels:,} {kind}; "
        f"seen: {len(seen):,} of them, from {seen[0]:,} to {seen[-1]:,}",
        *([f"  classes: {_classes(data)}"] if data.classes is not None else []),
        *([f"  maps: {data.maps}"] if data.maps is not None else []),
        *(f"  note: {note}" for note in data.notes),
    ]


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


def _classes(data: DataSet) -> str:
    assert data.classes is not None
    counts = np.zeros(data.classes, np.int64)
    for split in data.splits.values():
        if split.labels is not None:
            counts += np.bincount(split.labels, minlength=data.classes)
    names = data.class_names or range(data.classes)
    named = [f"{name} {count:,}" for name, count in zip(names, counts, strict=True)]
    more = [f"and {len(named) - _MOST_CLASSES} more"] if len(named) > _MOST_CLASSES else []
    return ", ".join([*named[:_MOST_CLASSES], *more])
