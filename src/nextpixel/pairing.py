"""What images are paired with: labels and maps of a data set, and the contexts of models that ask for them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from nextpixel.data import DataSet, Split
from nextpixel.data.dataset import Parts, evenly
from nextpixel.data.lazy import change
from nextpixel.data.transforms import reduce_bits
from nextpixel.errors import BadInput
from nextpixel.model import Model
from nextpixel.nn.context import Both, ClassLabel, Context, Map

Part = TypeVar("Part", bound=Context)

_AT_ONCE = 4096  # images whose context is checked at once


def context_of(kind: str, data: DataSet) -> Context | None:
    """The context of a model that is given "none", "label", "map" or "label+map" of what stands beside the images."""
    if kind == "none":
        return None
    parts = list[Context]()
    for name in kind.split("+"):
        if name == "label" and data.classes is not None:
            parts.append(ClassLabel(data.classes, data.class_names))
        elif name == "map" and data.maps is not None:
            parts.append(Map(data.maps.size, levels=data.maps.levels))
        else:
            raise BadInput(f"model.context is {kind}, but {data.name} has no {name}s.")
    return parts[0] if len(parts) == 1 else Both(*parts)


def check_all(model: Model, data: DataSet) -> None:
    """Refuse images, of which some are looked at, and labels and maps, all of them, that a model cannot be given."""
    known, names = part_of(model.context, ClassLabel), data.class_names
    if known is not None and known.names is not None and names and known.names[: len(names)] != names:
        told = (
            f"{data.name} has the classes {', '.join(names)}, but the model {known.listed}: labels would change places"
        )
        raise BadInput(f"{told}; build it with npx.ClassLabel(data.classes, data.class_names).")
    for split in (data.train, data.validation):
        model.spec.check(split.look(evenly(len(split), _AT_ONCE))[0])
        for start in range(0, len(split), _AT_ONCE):
            indices = np.arange(start, min(len(split), start + _AT_ONCE))
            if model.context is not None:
                model.context.check(given(model.context, split, indices), len(indices), model.spec)


def fit(
    model: Model, data: DataSet | Parts, split: Split, *, what: str, whole: bool = False
) -> tuple[Split, list[str]]:
    """Images and labels of a split of `data` as a model knows them, and sentences without a full stop about that.

    Levels are reduced to the model's number, classes are matched by name; `what` is how a sentence calls the data.
    If they are to stay `whole`, no level is reduced.
    """
    spec, wanted, notes = data.spec, model.spec, []
    if whole and spec.levels > wanted.levels:
        lost = f"{what} has {spec.levels} levels, of which the model's {wanted.levels} would lose some"
        raise BadInput(f"{lost}; take a model of as many, or make a file of images that says levels={wanted.levels}.")
    if spec.ordinal and wanted.ordinal and wanted.levels < spec.levels and wanted.levels.bit_count() == 1:
        reduce = partial(reduce_bits, bits=wanted.levels.bit_length() - 1, levels=spec.levels)
        split, spec = replace(split, images=change(split.images, reduce)), replace(spec, levels=wanted.levels)
        notes.append(f"the {data.spec.levels} levels of {what} are reduced to the {wanted.levels} of the model")
    if (spec.shape, spec.levels) != (wanted.shape, wanted.levels):
        raise BadInput(f"The model is about images {wanted}, but those of {what} are {spec}.")
    known = part_of(model.context, ClassLabel)
    if known is None or split.labels is None or known.names == data.class_names:
        return split, notes
    if known.names is None or data.class_names is None:
        notes.append(f"the classes of {what} and of the model are matched by number: only one of both has names")
        return split, notes
    present = [data.class_names[label] for label in np.unique(split.labels)]
    if unknown := [name for name in present if name not in known.names]:
        raise BadInput(f"{what} has images of {', '.join(unknown)}, but the model knows the {known.listed}.")
    if missing := [name for name in known.names if name not in present]:
        notes.append(f"{what} has no images of {', '.join(missing)}, which the model knows")
    numbers = np.array([known.names.index(name) if name in known.names else -1 for name in data.class_names])
    return replace(split, labels=numbers[split.labels]), notes


def difference(learnt: Any, data: DataSet, *, splits: Iterable[str], classes: bool = False) -> str | None:
    """How some splits of data differ from what a model learnt from, without a full stop; None if not, or nobody knows.

    With `classes`, so do the names of the classes and their order.
    """
    try:
        for name in splits:
            was, own = learnt["splits"][name], data.splits[name]
            images, digest, source = was["images"], was["digest"], learnt["data"]
            if (images, digest) != (len(own), own.digest()):
                other = f"{len(own)} instead of {images}" if len(own) != images else f"{images}, but other ones"
                return f"{data.name} is not what the model learnt from ({source}): of {name} images there are {other}"
        if classes and tuple(learnt["class_names"] or ()) != (data.class_names or ()):
            return f"{data.name} has the classes {data.class_names}, not {learnt['class_names']} as the model"
    except (KeyError, TypeError):  # a model that was not trained here
        return None
    return None


def part_of(context: Context | None, kind: type[Part]) -> Part | None:
    """The first part of a context that is of a kind: itself, or one of `Both`."""
    if isinstance(context, Both):
        return part_of(context.first, kind) or part_of(context.second, kind)
    return context if isinstance(context, kind) else None


def given(context: Context | None, split: Split, indices: Sequence[int] | np.ndarray | Tensor) -> Any:
    """What a model with a context is given with some images of a split, whose indices are (B,).

    Returns:
        Labels, int64, shape (B,); maps, int64 (codes) or float32 (numbers), shape (B, d, h, w); a pair for `Both`; None
        for a model without context.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    match context:
        case None:
            return None
        case Both(first, second):
            return given(first, split, chosen), given(second, split, chosen)
        case ClassLabel() if split.labels is not None:
            return torch.from_numpy(split.labels[chosen].astype(np.int64))
        case Map() if split.maps is not None:
            maps = np.asarray(split.maps[chosen])
            return torch.from_numpy(maps.astype(np.float32 if maps.dtype.kind == "f" else np.int64))
        case ClassLabel(classes):
            raise BadInput(f"This model needs a class label in [0, {classes}) for each image; these images have none.")
        case _:
            raise BadInput(f"This model needs {context} for each image; these images have none.")
