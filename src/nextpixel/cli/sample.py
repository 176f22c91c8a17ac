"""`nextpixel sample`: new images."""

import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, processes
from nextpixel.cli.common import afford, classes_of, drawn, labels_of, load, place, several, write_images
from nextpixel.cli.parsers import PICTURES
from nextpixel.data import Split
from nextpixel.data.readers.arrays import read_maps
from nextpixel.pairing import given, part_of


def main(options: Namespace) -> None:
    """Draw images and write them as a grid or as arrays."""
    out = [place(text, *PICTURES, ".npz") for text in options.out]
    model = load(options)
    beside = _beside(model, options, out)

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = range(piece.start, piece.stop)
        return model.sample(len(which), given(model.context, beside, which), **asked)

    images = drawn(options, len(beside), "sampling", draw)
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() != ".npz":
            pictures.write(_picture(model, options, images, beside), path)
        else:
            write_images(path, model, images, beside)
        print(f"{several(len(images), 'image')}: {path}")


def _beside(model: npx.Model, options: Namespace, out: list[Path]) -> Split:
    """What each image is given: a split whose images are still to be drawn."""
    classes, kind = classes_of(model, options.label), part_of(model.context, npx.Map)
    maps, labels = _maps(kind, options)
    count = len(maps) if maps is not None else options.images or 64
    chosen = None
    if classes is not None and (maps is None or options.label is not None or labels is None):
        chosen = labels_of(classes, options.label or "all")
        count = count if maps is not None else len(chosen) * math.ceil(count / len(chosen))
    afford(count, model.spec, out, lower="-n")
    if classes is None:
        labels = None
    elif chosen is not None:
        labels = np.resize(chosen, count) if maps is not None else np.repeat(chosen, count // len(chosen))
    return Split(np.empty(count), labels, maps=maps)


def _maps(kind: npx.Map | None, options: Namespace) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The maps of --maps, as many as there are to be images, and the labels beside them; None where there are none."""
    if kind is None:
        if options.maps is not None:
            raise npx.BadInput(f"This model is given no maps, so --maps {options.maps} means nothing to it.")
        return None, None
    if options.maps is None:
        raise npx.BadInput("This model needs a map for each image: give --maps FILE.npz.")
    if not options.maps.is_file():
        raise npx.BadInput(f"There is no file {options.maps}.")
    maps, labels = read_maps(options.maps, kind.size)
    count = options.images or len(maps)
    if count > len(maps):
        raise npx.BadInput(f"{options.maps} has {len(maps)} maps, too few for {count} images.")
    return maps[:count], None if labels is None else labels[:count]


def _picture(model: npx.Model, options: Namespace, images: Tensor, beside: Split) -> Image.Image:
    """A row a class, where the images have classes alone; a title says what they are."""
    spec, classes, labels = model.spec, part_of(model.context, npx.ClassLabel), beside.labels
    title = (
        f"{options.model}: {several(len(images), 'sample')}, temperature {options.temperature:g}, seed {options.seed}"
    )
    names: list[str] = []
    if classes is not None and labels is not None and beside.maps is None:
        names = [classes.name(label) for label in dict.fromkeys(labels.tolist())]
    if len(names) > 1:
        return pictures.titled(pictures.by_class(images, names, spec.levels, ordinal=spec.ordinal), title)
    title += f", class {names[0]}" if names else ""
    return pictures.titled(pictures.grid(images, spec.levels, ordinal=spec.ordinal), title)
