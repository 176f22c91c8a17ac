"""`nextpixel complete`: images of which a part is known."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import (
    Parser,
    afford,
    classes_of,
    config_of,
    drawn,
    images_of,
    labels_of,
    load,
    place,
    several,
    tell,
    whole,
    write_images,
)
from nextpixel.cli.known import known_pixels
from nextpixel.data.dataset import Parts, Split
from nextpixel.data.readers import Options, read_path
from nextpixel.pairing import fit, given

EXAMPLES = (
    "nextpixel complete runs/digits --known top-half",
    "nextpixel complete runs/digits --data digits --known left-half -n 12 --completions 4 --out completed.png",
    "nextpixel complete model.safetensors photo.png --known mask.png --out photo-completed.png",
    "nextpixel complete model.safetensors images/ --known random:30%",
)


def main(arguments: list[str]) -> None:
    """Draw the unknown part of images; the grid shows each as it was given, then its completions."""
    parser = Parser("complete", "Draw the unknown pixels of images, given those known.", examples=EXAMPLES)
    parser.add_model()
    parser.add_argument("source", nargs="?", type=Path, metavar="IMAGES", help="an image, a folder, an npz or npy file")
    parser.add_data()
    parser.add_argument(
        "--known",
        required=True,
        metavar="WHICH",
        help="top-half, bottom-half, left-half, right-half, centre, border, random:30%%, or a mask: an image of "
        "the same size that is opaque, or else bright, where pixels are known, or an npz with one mask or one an image",
    )
    parser.add_argument("-n", "--images", type=whole(1), default=8, metavar="N", help="the first N images (default: 8)")
    parser.add_argument("--completions", type=whole(1), default=4, metavar="K", help="of each image (default: 4)")
    about = "the class of all images, its name or number; by default that of each, where it is known"
    parser.add_argument("--label", metavar="CLASS", help=about)
    parser.add_drawing()
    about = ".png, .npz (default: completions.png)"
    parser.add_argument("--out", nargs="+", default=["completions.png"], metavar="FILE", help=about)
    options = parser.parse_args(arguments)

    out = [place(text, ".png", ".npz") for text in options.out]
    model = load(options)
    images, split, notes = _images(model, options)
    known = known_pixels(options.known, images, seed=options.seed)
    split = _with_label(model, options.label, split)
    afford(len(images) * options.completions, model.spec, out, lower="-n or --completions")
    every = torch.arange(len(images)).repeat_interleave(options.completions)
    spec = model.spec

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = every[piece]
        return model.complete(images[which], known[which], given(model.context, split, which), **asked)

    completed = drawn(options, len(every), "completing", draw)
    tell(notes)
    print(f"{100 * known.float().mean():.4g} % of the pixels are known.")
    for path in out:
        if path.suffix.lower() == ".png":
            pictures.write(pictures.completions(images, known, completed, spec.levels, ordinal=spec.ordinal), path)
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
