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
from nextpixel.cli.common import afford, drawn, exact, images_of, load, place, several, tell, with_bar
from nextpixel.cli.parsers import ACROSS, COMPLETED, DRAWN, LATENT_COLUMNS, LATENT_ROWS, PICTURES
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


def _latents(options: Namespace, out: Path) -> None:
    """Rows of images that share their latent vector."""
    model = _opened(options)
    z = torch.from_numpy(np.random.default_rng(options.seed).standard_normal((LATENT_ROWS, model.latent)))
    every = z.repeat_interleave(LATENT_COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.decode(every[piece], **asked))
    pictures.write(pictures.grid(made, model.spec.levels, ordinal=model.spec.ordinal, columns=LATENT_COLUMNS), out)
    print(f"{LATENT_ROWS} latent vectors, a row of {LATENT_COLUMNS} images given each: {out}")


def _reconstructions(options: Namespace, out: Path) -> None:
    """Images, and what is drawn given what the encoder makes of them."""
    model = _opened(options)
    given = _given(model, options, options.images)
    every = given.repeat_interleave(LATENT_COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.reconstruct(every[piece], **asked))
    all_known = torch.ones(given.shape, dtype=torch.bool)
    sheet = pictures.completions(given, all_known, made, model.spec.levels, ordinal=model.spec.ordinal)
    pictures.write(sheet, out)
    print(f"{several(len(given), 'image')}, {LATENT_COLUMNS} reconstructions of each: {out}")


def _interpolations(options: Namespace, out: Path) -> None:
    """Images on the way from one image to another."""
    model = _opened(options)
    given = _given(model, options, 2 * options.pairs)
    afford(options.pairs * (options.steps + 2), model.spec, [out], lower="--steps or --pairs")
    x, y = given[::2], given[1::2]
    drawn = model.interpolate(x, y, options.steps, seed=options.seed, temperature=options.temperature).cpu()
    rows = torch.cat([x.unsqueeze(1), drawn, y.unsqueeze(1)], 1)
    sheet = pictures.grid(rows.flatten(0, 1), model.spec.levels, ordinal=model.spec.ordinal, columns=options.steps + 2)
    pictures.write(sheet, out)
    print(f"{len(x)} pairs of images, {options.steps} steps from one to the other: {out}")


def _opened(options: Namespace) -> npx.PixelVAE:
    """The model, which must have a latent vector."""
    model = load(options)
    if not isinstance(model, npx.PixelVAE):
        name = model.recipe["name"]
        raise npx.BadInput(f"The plot is of latent vectors, which a {name} has not; it needs a pixelvae.")
    return model


def _given(model: npx.PixelVAE, options: Namespace, count: int) -> Tensor:
    """The first images of the data set's split."""
    name, split, notes, _ = images_of(model, options)
    if len(split) < count:
        raise npx.BadInput(f"The plot needs {count} images; the {options.split} split of {name} has {len(split)}.")
    tell(notes)
    given, _ = split.batch(np.arange(count), np.random.default_rng(options.seed))
    return given.long()


KINDS: dict[str, Callable[[Namespace, Path], None]] = {
    "receptive-field": _receptive_field,
    "curves": _curves,
    "samples": _samples,
    "figure": _figure,
    "latents": _latents,
    "reconstructions": _reconstructions,
    "interpolations": _interpolations,
}
