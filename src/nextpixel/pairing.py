"""What images are paired with: labels and maps of a data set, and the contexts of models that ask for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nextpixel.data import DataSet, Split
from nextpixel.errors import BadInput
from nextpixel.model import Model
from nextpixel.nn.context import Both, ClassLabel, Context, Map

_AT_ONCE = 4096  # images whose context is checked at once


def context_of(kind: str, data: DataSet) -> Context | None:
    """The context of a model that is to be given what stands beside the images of a data set.

    Args:
        kind: "none", "label", "map" or "label+map".
        data: what the model will learn from.

    Raises:
        BadInput: the data set does not have it.
    """
    if kind == "none":
        return None
    there: dict[str, Context] = {}
    if data.classes is not None:
        there["label"] = ClassLabel(data.classes)
    if data.maps is not None:
        there["map"] = Map(data.maps.size, levels=data.maps.levels)
    for name in kind.split("+"):
        if name not in there:
            raise BadInput(f"model.context is {kind}, but {data.name} has no {name}s.")
    parts = [there[name] for name in kind.split("+")]
    return parts[0] if len(parts) == 1 else Both(*parts)


def check_all(model: Model, data: DataSet) -> None:
    """Refuse labels and maps that a model cannot be given, all those of training and validation images."""
    if model.context is None:
        return
    for split in (data.train, data.validation):
        for start in range(0, len(split), _AT_ONCE):
            indices = np.arange(start, min(len(split), start + _AT_ONCE))
            model.context.check(given(model.context, split, indices), len(indices), model.spec)


def given(context: Context | None, split: Split, indices: Sequence[int] | np.ndarray | Tensor) -> Any:
    """What a model is given with some images of a split.

    Args:
        context: the model's.
        split: where the images are.
        indices: which of them, shape (B,).

    Returns:
        Labels, int64, shape (B,); maps, int64 (codes) or float32 (numbers), shape (B, d, h, w); a pair for `Both`; None
        for a model without context.

    Raises:
        BadInput: the split does not have what the model needs.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    match context:
        case None:
            return None
        case Both(first, second):
            return given(first, split, chosen), given(second, split, chosen)
        case ClassLabel() if split.labels is not None:
            return torch.from_numpy(split.labels[chosen])
        case Map() if split.maps is not None:
            maps = np.asarray(split.maps[chosen])
            return torch.from_numpy(maps.astype(np.float32 if maps.dtype.kind == "f" else np.int64))
        case ClassLabel(classes):
            raise BadInput(f"This model needs a class label in [0, {classes}) for each image; these images have none.")
        case _:
            raise BadInput(f"This model needs {context} for each image; these images have none.")
