"""`nextpixel plot`: what a model sees, how a run went, and a figure for a paper."""

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, plots
from nextpixel.cli import plot_latent
from nextpixel.cli.common import drawn, exact, images_of, load, place, several, tell, with_bar
from nextpixel.cli.parsers import ACROSS, COMPLETED, DRAWN, PICTURES
from nextpixel.pairing import given


def main(options: Namespace) -> None:
    """Find the kind of plot."""
    KINDS[options.kind](options, place(options.out, *PICTURES))


def _receptive_field(options: Namespace, out: Path) -> None:
    model = exact(load(options), "The receptive field")
    row, column = options.pixel or (model.spec.height // 2, model.spec.width // 2)
    where = (row, column, options.channel)
    field = plots.receptive_field(model, *where, seed=options.seed, watch=partial(with_bar, doing="looking"))
    pictures.write(plots.draw_receptive_field(model, field, *where), out)
    print("\n".join(plots.describe_receptive_field(model, field, *where)))
    print(f"The receptive field: {out}")


def _curves(options: Namespace, out: Path) -> None:
    # Of several, such as runs/*, some may have no metrics (yet); but one must.
    runs = [run for run in options.runs if (run / "metrics.csv").is_file()] or options.runs[:1]
    curves = [plots.read_curves(run, options.over) for run in runs]
    pictures.write(plots.draw_curves(curves, options.over), out)
    print("".join(f"{run} has no metrics.\n" for run in options.runs if run not in runs), end="", file=sys.stderr)
    print(f"The curves of {', '.join(map(str, runs))}: {out}")


def _samples(options: Namespace, out: Path) -> None:
    found = plots.read_samples(options.run, options.pictures)
    pictures.write(plots.draw_samples(found), out)
    print(f"{several(len(found), 'picture')} of {options.run}: {out}")


def _figure(options: Namespace, out: Path) -> None:
    model = load(options)
    name, split, notes, _ = images_of(model, options)
    if len(split) < ACROSS:
        raise npx.BadInput(f"The figure needs {ACROSS} images; the {options.split} split of {name} has {len(split)}.")
    halves, _ = split.batch(np.arange(ACROSS), np.random.default_rng(options.seed))
    pictures.grid(halves, model.spec.levels, ordinal=model.spec.ordinal)  # refuses what has no picture, before the work
    known = torch.zeros(halves.shape, dtype=torch.bool)
    known[:, :, : model.spec.height // 2] = True
    rows = DRAWN + COMPLETED
    # Nothing is known of the images of the first rows: to complete them is to draw them.
    every, halves = np.tile(np.arange(ACROSS), rows), halves.long().repeat(rows, 1, 1, 1)
    known = torch.cat([torch.zeros_like(known).repeat(DRAWN, 1, 1, 1), known.repeat(COMPLETED, 1, 1, 1)])

    def draw(piece: slice, **asked: Any) -> Tensor:
        return model.complete(halves[piece], known[piece], given(model.context, split, every[piece]), **asked)

    images = drawn(options, len(halves), "drawing", draw)
    pictures.write(pictures.grid(images, model.spec.levels, ordinal=model.spec.ordinal, columns=ACROSS), out)
    tell(notes)
    print(f"{ACROSS * DRAWN} images from scratch, {COMPLETED} completions of each of {ACROSS} top halves: {out}")


KINDS: dict[str, Callable[[Namespace, Path], None]] = {
    "receptive-field": _receptive_field,
    "curves": _curves,
    "samples": _samples,
    "figure": _figure,
    "latents": plot_latent.latents,
    "reconstructions": plot_latent.reconstructions,
    "interpolations": plot_latent.interpolations,
}
