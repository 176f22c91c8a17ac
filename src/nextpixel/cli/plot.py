"""`nextpixel plot`: what a model sees, how a run went, and a figure for a paper."""

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, plots
from nextpixel.cli.common import afford, drawn, exact, images_of, load, place, several, tell, with_bar
from nextpixel.cli.parsers import ACROSS, COMPLETED, DRAWN, LATENT_COLUMNS, LATENT_ROWS, PICTURES
from nextpixel.data import Split
from nextpixel.pairing import given

Plot = tuple[Image.Image, str]  # the picture, and what is said of it


def main(options: Namespace) -> None:
    """Find the kind of plot, and write its picture."""
    out = place(options.out, *PICTURES)
    picture, about = KINDS[options.kind](options)
    pictures.write(picture, out)
    print(f"{about}: {out}")


def _receptive_field(options: Namespace) -> Plot:
    model = exact(load(options), "The receptive field")
    row, column = options.pixel or (model.spec.height // 2, model.spec.width // 2)
    where = (row, column, options.channel)
    field = plots.receptive_field(model, *where, seed=options.seed, watch=partial(with_bar, doing="looking"))
    told = [*plots.describe_receptive_field(model, field, *where), "The receptive field"]
    return plots.draw_receptive_field(model, field, *where), "\n".join(told)


def _curves(options: Namespace) -> Plot:
    # Of several, such as runs/*, some may have no metrics (yet); but one must.
    runs = [run for run in options.runs if (run / "metrics.csv").is_file()] or options.runs[:1]
    curves = [plots.read_curves(run, options.over) for run in runs]
    print("".join(f"{run} has no metrics.\n" for run in options.runs if run not in runs), end="", file=sys.stderr)
    return plots.draw_curves(curves, options.over), f"The curves of {', '.join(map(str, runs))}"


def _samples(options: Namespace) -> Plot:
    found = plots.read_samples(options.run, options.pictures)
    return plots.draw_samples(found), f"{several(len(found), 'picture')} of {options.run}"


def _figure(options: Namespace) -> Plot:
    model = load(options)
    images, split, notes = _first(model, options, ACROSS, "figure")
    pictures.grid(images, model.spec.levels, ordinal=model.spec.ordinal)  # refuses what has no picture, before the work
    rows = DRAWN + COMPLETED
    every, halves = np.tile(np.arange(ACROSS), rows), images.repeat(rows, 1, 1, 1)
    # Nothing is known of the images of the first rows: to complete them is to draw them.
    known = torch.zeros(halves.shape, dtype=torch.bool)
    known[DRAWN * ACROSS :, :, : model.spec.height // 2] = True

    def draw(piece: slice, **asked: Any) -> Tensor:
        return model.complete(halves[piece], known[piece], given(model.context, split, every[piece]), **asked)

    made = drawn(options, len(halves), "drawing", draw)
    tell(notes)
    about = f"{ACROSS * DRAWN} images from scratch, {COMPLETED} completions of each of {ACROSS} top halves"
    return pictures.grid(made, model.spec.levels, ordinal=model.spec.ordinal, columns=ACROSS), about


def _latents(options: Namespace) -> Plot:
    """Rows of images that share their latent vector."""
    model = _opened(options)
    z = torch.from_numpy(np.random.default_rng(options.seed).standard_normal((LATENT_ROWS, model.latent)))
    every = z.repeat_interleave(LATENT_COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.decode(every[piece], **asked))
    about = f"{LATENT_ROWS} latent vectors, a row of {LATENT_COLUMNS} images given each"
    return pictures.grid(made, model.spec.levels, ordinal=model.spec.ordinal, columns=LATENT_COLUMNS), about


def _reconstructions(options: Namespace) -> Plot:
    """Images, and what is drawn given what the encoder makes of them."""
    model = _opened(options)
    images, _, notes = _first(model, options, options.images, "plot")
    every = images.repeat_interleave(LATENT_COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.reconstruct(every[piece], **asked))
    tell(notes)
    all_known, spec = torch.ones(images.shape, dtype=torch.bool), model.spec
    about = f"{several(len(images), 'image')}, {LATENT_COLUMNS} reconstructions of each"
    return pictures.completions(images, all_known, made, spec.levels, ordinal=spec.ordinal), about


def _interpolations(options: Namespace) -> Plot:
    """Images on the way from one image to another."""
    model, steps = _opened(options), options.steps
    images, _, notes = _first(model, options, 2 * options.pairs, "plot")
    afford(options.pairs * (steps + 2), model.spec, [Path(options.out)], lower="--steps or --pairs")
    x, y = images[::2], images[1::2]
    made = model.interpolate(x, y, steps, seed=options.seed, temperature=options.temperature).cpu()
    tell(notes)
    rows = torch.cat([x.unsqueeze(1), made, y.unsqueeze(1)], 1).flatten(0, 1)
    about = f"{len(x)} pairs of images, {steps} steps from one to the other"
    return pictures.grid(rows, model.spec.levels, ordinal=model.spec.ordinal, columns=steps + 2), about


def _opened(options: Namespace) -> npx.PixelVAE:
    """The model, which must have a latent vector."""
    model = load(options)
    if not isinstance(model, npx.PixelVAE):
        name = model.recipe["name"]
        raise npx.BadInput(f"The plot is of latent vectors, which a {name} has not; it needs a pixelvae.")
    return model


def _first(model: npx.Model, options: Namespace, count: int, what: str) -> tuple[Tensor, Split, list[str]]:
    """The first images of the data set's split, the split, and what to `tell`."""
    name, split, notes, _ = images_of(model, options)
    if len(split) < count:
        raise npx.BadInput(f"The {what} needs {count} images; the {options.split} split of {name} has {len(split)}.")
    images, _ = split.batch(np.arange(count), np.random.default_rng(options.seed))
    return images.long(), split, notes


KINDS: dict[str, Callable[[Namespace], Plot]] = {
    "receptive-field": _receptive_field,
    "curves": _curves,
    "samples": _samples,
    "figure": _figure,
    "latents": _latents,
    "reconstructions": _reconstructions,
    "interpolations": _interpolations,
}
