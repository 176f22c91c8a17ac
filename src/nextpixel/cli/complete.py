"""`nextpixel complete`: images of which a part is known."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, processes
from nextpixel.cli.common import (
    BATCH,
    afford,
    classes_of,
    config_of,
    drawn,
    exact,
    images_of,
    labels_of,
    load,
    place,
    require,
    several,
    tell,
    write_images,
)
from nextpixel.cli.known import known_pixels
from nextpixel.cli.parsers import PICTURES
from nextpixel.data.dataset import Parts, Split
from nextpixel.data.readers import Options, read_path
from nextpixel.pairing import fit, given


def main(options: Namespace) -> None:
    """Draw the unknown part of images; the grid shows each as it was given, then its completions."""
    out = [place(text, *PICTURES, ".npz") for text in options.out]
    model = load(options)
    images, split, notes = _images(model, options)
    known = known_pixels(options.known, images, seed=options.seed)
    split = _with_label(model, options.label, split)
    afford(len(images) * options.completions, model.spec, out, lower="-n or --completions")
    particles = {} if options.particles == 1 else {"particles": options.particles}
    if particles:
        exact(model, "--particles")
        require(64 * options.particles * model.spec.subpixels, f"{options.particles} particles", "--particles")
    every = torch.arange(len(images)).repeat_interleave(options.completions)
    spec = model.spec

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = every[piece]
        return model.complete(images[which], known[which], given(model.context, split, which), **asked, **particles)

    completed = drawn(options, len(every), "completing", draw, max(1, BATCH // options.particles))
    tell(notes)
    print(f"{100 * known.float().mean():.4g} % of the pixels are known.")
    original = options.source is None or not Path(options.known).is_file()  # a mask may hide what was never there
    sheet = pictures.completions(images, known, completed, spec.levels, ordinal=spec.ordinal, original=original)
    columns = f"given, {several(options.completions, 'completion')}{', original' * original}"
    title = f"{options.model}: {columns}; temperature {options.temperature:g}, seed {options.seed}"
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() != ".npz":
            pictures.write(pictures.titled(sheet, title), path)
        else:
            write_images(path, model, completed, split.take(every.numpy()), given=images, known=known)
        print(f"{several(len(images), 'image')}, {several(options.completions, 'completion')} of each: {path}")


def _images(model: npx.Model, options: Namespace) -> tuple[Tensor, Split, list[str]]:
    """The first images of the source, in the model's levels, what stands beside them, and what to `tell`."""
    if options.source is not None and options.data is not None:
        raise npx.BadInput(f"Give either IMAGES ({options.source}) or --data {options.data}, not both.")
    if options.source is None:
        _, split, notes, _ = images_of(model, options)
    else:
        parts = _read(options, model.spec)
        split, notes = fit(model, parts, parts.test or parts.train, what=str(options.source))
        notes += parts.notes
    split = split.take(slice(options.images))
    images, _ = split.batch(range(len(split)), np.random.default_rng(options.seed))
    return images.long(), split, notes


def _read(options: Namespace, spec: npx.ImageSpec) -> Parts:
    """The images of a source, read as those that the model learnt from."""
    source: Path = options.source
    if not source.is_file() and not source.is_dir():
        raise npx.BadInput(f"There is no file or folder {source}.")
    asked = config_of(options.model)["data"]
    said = {name: asked[name] for name in ("size", "fit", "channels") if name in asked}
    if not spec.ordinal:
        return read_path(source, Options(levels=spec.levels, ordinal=False, **said))
    return read_path(source, Options(like=spec.levels, **said))


def _with_label(model: npx.Model, label: str | None, split: Split) -> Split:
    """The split with the class that --label says, for a model of classes."""
    context = classes_of(model, label)
    if context is None:
        return split
    if label is not None:
        labels = labels_of(context, label)
        if len(labels) > 1:
            raise npx.BadInput(f"An image is completed as one class; --label {label} is for sample.")
        return replace(split, labels=np.full(len(split), labels[0]))
    if split.labels is None:
        raise npx.BadInput(f"The model needs the class of the images, one of {context.listed}: give --label.")
    return split
