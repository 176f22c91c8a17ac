"""`nextpixel plot`: what a model sees, how a run went, and a figure for a paper."""

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, plots
from nextpixel.cli.common import drawn, exact, first, images_of, load, place, tell, with_bar
from nextpixel.cli.parsers import PICTURES
from nextpixel.pairing import given

LATENT_ROWS, LATENT_COLUMNS = 12, 6  # of the figures of a pixelvae
ACROSS, DRAWN, COMPLETED = 12, 6, 6  # columns of the figure, rows from scratch, rows of completions

Plot = tuple[Image.Image, str]  # the picture, and what is said of it


def plot(options: Namespace) -> None:
    """Find the kind of plot, and write its picture."""
    out = place(options.out, *PICTURES)
    picture, about = KINDS[options.kind](options)
    pictures.write(picture, out)
    print(f"{about}: {out}")


def _receptive_field(options: Namespace) -> Plot:
    model = exact(load(options), "The receptive field")
    row, column = options.pixel or (model.spec.height // 2, model.spec.width // 2)
    where = row, column, options.channel
    field = plots.receptive_field(model, *where, seed=options.seed, watch=partial(with_bar, doing="looking"))
    told = [*plots.describe_receptive_field(model, field, *where), "The receptive field"]
    return plots.draw_receptive_field(model, field, *where), "\n".join(told)


def _curves(options: Namespace) -> Plot:
    # Of several, such as runs/*, some may have no metrics (yet); but one must.
    runs = [run for run in options.runs if (run / "metrics.csv").is_file()] or options.runs[:1]
    curves = [plots.read_curves(run, options.over) for run in runs]
    print("".join(f"{run} has no metrics.\n" for run in options.runs if run not in runs), end="", file=sys.stderr)
    return plots.draw_curves(curves, options.over), f"The curves of {', '.join(map(str, runs))}"


def _figure(options: Namespace) -> Plot:
    model = load(options)
    name, split, notes, _ = images_of(model, options)
    if len(split) < ACROSS:
        raise npx.BadInput(f"The figure needs {ACROSS} images; the {options.split} split of {name} has {len(split)}.")
    images = first(split, options.seed, ACROSS)
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
    """Rows of images that share a latent vector of the prior."""
    model = load(options)
    if not isinstance(model, npx.PixelVAE):
        name = model.recipe["name"]
        raise npx.BadInput(f"The plot is of latent vectors, which a {name} has not; it needs a pixelvae.")
    z = torch.from_numpy(np.random.default_rng(options.seed).standard_normal((LATENT_ROWS, model.latent)))
    every, decode = z.repeat_interleave(LATENT_COLUMNS, 0), model.decode
    made = drawn(options, len(every), "drawing", lambda piece, **asked: decode(every[piece], **asked))
    sheet = pictures.grid(made, model.spec.levels, ordinal=model.spec.ordinal, columns=LATENT_COLUMNS)
    return sheet, f"{LATENT_ROWS} latent vectors, a row of {LATENT_COLUMNS} images of each"


KINDS: dict[str, Callable[[Namespace], Plot]] = {
    "receptive-field": _receptive_field,
    "curves": _curves,
    "figure": _figure,
    "latents": _latents,
}
