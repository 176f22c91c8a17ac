"""`nextpixel plot latents`, `reconstructions` and `interpolations`: what the latent vector of a pixelvae says."""

from argparse import Namespace
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import Parser, afford, device, images_of, pieces, place, tell, whole, with_bar

ROWS, COLUMNS = 12, 6  # of `latents`


def latents(arguments: list[str]) -> None:
    """Rows of images that share their latent vector."""
    parser = _parser("latents", f"Draw {ROWS} latent vectors from the prior, and a row of {COLUMNS} images given each.")
    options = parser.parse_args(arguments)
    model, out = _model(options), place(options.out, ".png")
    z = torch.from_numpy(np.random.default_rng(options.seed).standard_normal((ROWS, model.latent)))
    every = z.repeat_interleave(COLUMNS, 0)
    made = _drawn(options, len(every), lambda piece, **settings: model.decode(every[piece], **settings))
    pictures.write(pictures.grid(made, model.spec.levels, ordinal=model.spec.ordinal, columns=COLUMNS), out)
    print(f"{ROWS} latent vectors, a row of {COLUMNS} images given each: {out}")


def reconstructions(arguments: list[str]) -> None:
    """Images, and what is drawn given what the encoder makes of them."""
    parser = _parser("reconstructions", "Each row: an image, then images drawn given latent vectors of its posterior.")
    parser.add_data()
    parser.add_argument("-n", "--images", type=whole(1), default=12, metavar="N", help="the first N (default: 12)")
    options = parser.parse_args(arguments)
    model, out = _model(options), place(options.out, ".png")
    given = _given(model, options, options.images)
    every = given.repeat_interleave(COLUMNS, 0)
    made = _drawn(options, len(every), lambda piece, **settings: model.reconstruct(every[piece], **settings))
    sheet = pictures.completions(
        given, torch.ones(given.shape, dtype=torch.bool), made, model.spec.levels, ordinal=model.spec.ordinal
    )
    pictures.write(sheet, out)
    print(f"{len(given)} images, {COLUMNS} reconstructions of each: {out}")


def interpolations(arguments: list[str]) -> None:
    """Images on the way from one image to another."""
    parser = _parser("interpolations", "Each row: an image, images on the way to another, and that one.")
    parser.add_data()
    parser.add_argument("-n", "--pairs", type=whole(1), default=8, metavar="N", help="of images (default: 8)")
    parser.add_argument("--steps", type=whole(2), default=8, metavar="K", help="images drawn on a way (default: 8)")
    options = parser.parse_args(arguments)
    model, out = _model(options), place(options.out, ".png")
    given = _given(model, options, 2 * options.pairs)
    afford(options.pairs * (options.steps + 2), model.spec, [out], lower="--steps or --pairs")
    x, y = given[::2], given[1::2]
    drawn = model.interpolate(x, y, options.steps, seed=options.seed, temperature=options.temperature).cpu()
    rows = torch.cat([x.unsqueeze(1), drawn, y.unsqueeze(1)], 1)
    sheet = pictures.grid(rows.flatten(0, 1), model.spec.levels, ordinal=model.spec.ordinal, columns=options.steps + 2)
    pictures.write(sheet, out)
    print(f"{len(x)} pairs of images, {options.steps} steps from one to the other: {out}")


def _parser(kind: str, about: str) -> Parser:
    parser = Parser(
        f"plot {kind}",
        f"{about} For a pixelvae.",
        examples=(f"nextpixel plot {kind} runs/mnist-binary-pixelvae --out {kind}.png",),
    )
    parser.add_model()
    parser.add_drawing()
    parser.add_argument("--out", default=f"{kind}.png", metavar="FILE.png", help=f"(default: {kind}.png)")
    return parser


def _model(options: Namespace) -> npx.PixelVAE:
    model = npx.load(options.model, device=device(options.device))
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


def _drawn(options: Namespace, count: int, draw: Callable[..., Tensor]) -> Tensor:
    """Images drawn in pieces, each with noise of its own."""
    parts = [
        draw(piece, seed=options.seed, temperature=options.temperature, first=piece.start).cpu()
        for piece in with_bar(pieces(count), "drawing")
    ]
    return torch.cat(parts)
