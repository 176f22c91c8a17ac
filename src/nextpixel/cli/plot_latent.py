"""`nextpixel plot latents`, `reconstructions` and `interpolations`: what the latent vector of a pixelvae says."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import afford, drawn, images_of, load, several, tell
from nextpixel.cli.parsers import LATENT_COLUMNS as COLUMNS
from nextpixel.cli.parsers import LATENT_ROWS as ROWS


def latents(options: Namespace, out: Path) -> None:
    """Rows of images that share their latent vector."""
    model = _opened(options)
    z = torch.from_numpy(np.random.default_rng(options.seed).standard_normal((ROWS, model.latent)))
    every = z.repeat_interleave(COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.decode(every[piece], **asked))
    pictures.write(pictures.grid(made, model.spec.levels, ordinal=model.spec.ordinal, columns=COLUMNS), out)
    print(f"{ROWS} latent vectors, a row of {COLUMNS} images given each: {out}")


def reconstructions(options: Namespace, out: Path) -> None:
    """Images, and what is drawn given what the encoder makes of them."""
    model = _opened(options)
    given = _given(model, options, options.images)
    every = given.repeat_interleave(COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.reconstruct(every[piece], **asked))
    all_known = torch.ones(given.shape, dtype=torch.bool)
    sheet = pictures.completions(given, all_known, made, model.spec.levels, ordinal=model.spec.ordinal)
    pictures.write(sheet, out)
    print(f"{several(len(given), 'image')}, {COLUMNS} reconstructions of each: {out}")


def interpolations(options: Namespace, out: Path) -> None:
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
