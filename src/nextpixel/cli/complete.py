"""`nextpixel complete`: images of which a part is known."""

import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import (
    Parser,
    classes_of,
    device,
    images_of,
    pieces,
    place,
    tell,
    whole,
    with_bar,
    write_arrays,
)
from nextpixel.data.dataset import Parts, Split
from nextpixel.data.readers import Options, read_path
from nextpixel.data.readers.folder import read_pixels
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
        help="top-half, left-half, random:30%%, or an image of the same size that is bright where pixels are known",
    )
    parser.add_argument("-n", "--images", type=whole(1), default=8, metavar="N", help="the first N images (default: 8)")
    parser.add_argument("--completions", type=whole(1), default=4, metavar="K", help="of each image (default: 4)")
    parser.add_argument("--label", help="the class of all images; by default that of each, where it is known")
    parser.add_drawing()
    parser.add_argument(
        "--out", nargs="+", default=["completions.png"], metavar="FILE", help=".png, .npz (default: completions.png)"
    )
    options = parser.parse_args(arguments)

    out = [place(text, ".png", ".npz") for text in options.out]
    model = npx.load(options.model, device=device(options.device))
    images, split, notes = _images(model, options)
    known = _known(options.known, images, seed=options.seed)
    split = _with_label(model, options.label, split)
    every = torch.arange(len(images)).repeat_interleave(options.completions)
    spec = model.spec
    completed = torch.cat(
        [
            model.complete(
                images[every[piece]],
                known[every[piece]],
                given(model.context, split, every[piece]),
                seed=options.seed,
                temperature=options.temperature,
                first=piece.start,
            ).cpu()
            for piece in with_bar(pieces(len(every)), "completing")
        ]
    )
    tell(notes)
    for path in out:
        if path.suffix.lower() == ".png":
            sheet = pictures.completions(images, known, completed, spec.levels, ordinal=spec.ordinal)
            pictures.write(sheet, path)
        else:
            labels = None if classes_of(model, None) is None else split.labels
            arrays = {"images": completed, "given": images, "known": known, "labels": labels}
            write_arrays(path, **arrays, levels=spec.levels, ordinal=None if spec.ordinal else False)
        print(f"{len(images)} images, {options.completions} completions of each: {path}")


def _images(model: npx.Model, options: Namespace) -> tuple[Tensor, Split, list[str]]:
    """The first images of the source, in the model's levels, what stands beside them, and what to `tell`."""
    if options.source is not None and options.data is not None:
        raise npx.BadInput(f"Give either IMAGES ({options.source}) or --data {options.data}, not both.")
    if options.source is None:
        _, split, notes = images_of(model, options)
    else:
        parts = _read(options.source, model.spec)
        split, notes = fit(model, parts, parts.test or parts.train, what=str(options.source))
        notes += parts.notes
    split = split.take(slice(options.images))
    images, _ = split.batch(range(len(split)), np.random.default_rng(options.seed))
    return images.long(), split, notes


def _read(source: Path, spec: npx.ImageSpec) -> Parts:
    if not source.exists():
        raise npx.BadInput(f"There is no file or folder {source}.")
    if not spec.ordinal:
        return read_path(source, Options(levels=spec.levels, ordinal=False))
    return read_path(source, Options(like=spec.levels))


def _known(which: str, images: Tensor, *, seed: int) -> Tensor:
    """The mask of known pixels, (B, 1, H, W)."""
    count, _, height, width = images.shape
    known = torch.zeros(count, 1, height, width, dtype=torch.bool)
    if which == "top-half":
        known[:, :, : height // 2] = True
    elif which == "left-half":
        known[:, :, :, : width // 2] = True
    elif which.startswith("random:"):
        noise = np.random.default_rng(seed).random(known.shape)
        known = torch.from_numpy(noise < _share(which))
    elif Path(which).is_file():
        mask = read_pixels(Path(which))
        if mask.shape[1:] != (height, width):
            raise npx.BadInput(
                f"The mask {which} is {mask.shape[2]}x{mask.shape[1]}, but the images are {width}x{height}."
            )
        known[:] = torch.from_numpy(mask.max(axis=0) >= 128)
    else:
        raise npx.BadInput(f"Known pixels are top-half, left-half, random:30% or the file of a mask, not {which!r}.")
    return known


def _share(which: str) -> float:
    found = re.fullmatch(r"random:(\d+(?:\.\d+)?)%", which)
    if found is None or float(found[1]) > 100:
        raise npx.BadInput(f"A share of known pixels is written random:30%, from 0 to 100 %, not {which!r}.")
    return float(found[1]) / 100


def _with_label(model: npx.Model, label: str | None, split: Split) -> Split:
    """The split with the class that --label says, for a model of classes."""
    context = classes_of(model, label)
    if context is None:
        return split
    if label == "all":
        raise npx.BadInput("An image is completed as one class; --label all is for sample.")
    if label is not None:
        return replace(split, labels=np.full(len(split), int(label)))
    if split.labels is None:
        raise npx.BadInput(f"The model needs the class of the images, from 0 to {context.classes - 1}: give --label.")
    return split
