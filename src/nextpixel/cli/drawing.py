"""`nextpixel sample` and `complete`: new images, and images of which a part is known."""

import math
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, processes
from nextpixel.cli import common
from nextpixel.cli.known import known_pixels
from nextpixel.cli.parsers import PICTURES
from nextpixel.data import Split
from nextpixel.data.readers.arrays import read_maps
from nextpixel.pairing import given, part_of

Sheet = Callable[[], Image.Image]


def sample(options: Namespace) -> None:
    """Draw images and write them as a grid or as arrays."""
    out = [common.place(text, *PICTURES, ".npz") for text in options.out]
    model = common.load(options)
    beside = _beside(model, options, out)

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = range(piece.start, piece.stop)
        return model.sample(len(which), given(model.context, beside, which), **asked)

    images = common.drawn(options, len(beside), "sampling", draw)
    said = common.several(len(images), "image")
    _write(out, said, lambda: _sheet(model, options, images, beside), model, images, beside)


def complete(options: Namespace) -> None:
    """Draw the unknown part of images; the grid shows each as it was given, then its completions."""
    out = [common.place(text, *PICTURES, ".npz") for text in options.out]
    model = common.load(options)
    _, images, split, notes = common.asked_images(model, options)
    known = known_pixels(options.known, images, seed=options.seed)
    common.afford(len(images) * options.completions, model.spec, out, lower="-n or --completions")
    particles = {} if options.particles == 1 else {"particles": options.particles}
    if particles:
        common.exact(model, "--particles")
        common.require(64 * options.particles * model.spec.subpixels, f"{options.particles} particles", "--particles")
    every = torch.arange(len(images)).repeat_interleave(options.completions)

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = every[piece]
        return model.complete(images[which], known[which], given(model.context, split, which), **asked, **particles)

    completed = common.drawn(options, len(every), "completing", draw, max(1, common.BATCH // options.particles))
    common.tell(notes)
    print(f"{100 * known.float().mean():.4g} % of the pixels are known.")
    original = options.source is None or not Path(options.known).is_file()  # a mask may hide what was never there
    each = common.several(options.completions, "completion")

    def sheet() -> Image.Image:
        spec, columns = model.spec, f"given, {each}{', original' * original}"
        made = pictures.completions(images, known, completed, spec.levels, ordinal=spec.ordinal, original=original)
        return pictures.titled(made, f"{options.model}: {columns}; {_how(options)}")

    said, beside = f"{common.several(len(images), 'image')}, {each} of each", split.take(every.numpy())
    _write(out, said, sheet, model, completed, beside, given=images, known=known)


def _write(
    out: list[Path], said: str, sheet: Sheet, model: npx.Model, images: Tensor, beside: Split, **more: Tensor
) -> None:
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() == ".npz":
            common.write_images(path, model, images, beside, **more)
        else:
            pictures.write(sheet(), path)
        print(f"{said}: {path}")


def _how(options: Namespace) -> str:
    return f"temperature {options.temperature:g}, seed {options.seed}"


def _beside(model: npx.Model, options: Namespace, out: list[Path]) -> Split:
    """What each image is given: a split whose images are still to be drawn."""
    classes, kind = common.classes_of(model, options.label), part_of(model.context, npx.Map)
    maps, labels = _maps(kind, options)
    count = len(maps) if maps is not None else options.images or 64
    chosen = None
    if classes is not None and (maps is None or options.label is not None or labels is None):
        chosen = common.labels_of(classes, options.label or "all")
        count = count if maps is not None else len(chosen) * math.ceil(count / len(chosen))
    common.afford(count, model.spec, out, lower="-n")
    if classes is None:
        labels = None
    elif chosen is not None:
        labels = np.resize(chosen, count) if maps is not None else np.repeat(chosen, count // len(chosen))
    return Split(np.empty(count), labels, maps=maps)


def _maps(kind: npx.Map | None, options: Namespace) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The maps of --maps, as many as there are to be images, and the labels beside them; None where there are none."""
    if (kind is None) != (options.maps is None):
        told = "needs one for each image: give --maps FILE.npz" if kind else f"is given none, not {options.maps}"
        raise npx.BadInput(f"Of maps, this model {told}.")
    if kind is None:
        return None, None
    maps, labels = read_maps(options.maps, kind.size)
    count = options.images or len(maps)
    if count > len(maps):
        raise npx.BadInput(f"{options.maps} has {len(maps)} maps, too few for {count} images.")
    return maps[:count], None if labels is None else labels[:count]


def _sheet(model: npx.Model, options: Namespace, images: Tensor, beside: Split) -> Image.Image:
    """A row a class, where the images have classes alone; a title says what they are."""
    spec, classes, labels = model.spec, part_of(model.context, npx.ClassLabel), beside.labels
    title, names = f"{options.model}: {common.several(len(images), 'sample')}, {_how(options)}", list[str]()
    if classes is not None and labels is not None and beside.maps is None:
        names = [classes.name(label) for label in dict.fromkeys(labels.tolist())]
    if len(names) == 1:
        title += f", class {names.pop()}"
    return pictures.titled(pictures.by_class(images, names, spec.levels, ordinal=spec.ordinal), title)
