"""`nextpixel plot latents`, `reconstructions` and `interpolations`: what the latent vector of a pixelvae says."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import Parser, afford, drawn, images_of, load, place, several, tell, whole

ROWS, COLUMNS = 12, 6  # of `latents`


def latents(arguments: list[str]) -> None:
    """Rows of images that share their latent vector."""
    parser = _parser("latents", f"Draw {ROWS} latent vectors from the prior, and a row of {COLUMNS} images given each.")
    options, model, out = _opened(parser, arguments)
    z = torch.from_numpy(np.random.default_rng(options.seed).standard_normal((ROWS, model.latent)))
    every = z.repeat_interleave(COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.decode(every[piece], **asked))
    pictures.write(pictures.grid(made, model.spec.levels, ordinal=model.spec.ordinal, columns=COLUMNS), out)
    print(f"{ROWS} latent vectors, a row of {COLUMNS} images given each: {out}")


def reconstructions(arguments: list[str]) -> None:
    """Images, and what is drawn given what the encoder makes of them."""
    parser = _parser("reconstructions", "Each row: an image, then images drawn given latent vectors of its posterior.")
    parser.add_data()
    parser.add_argument("-n", "--images", type=whole(1), default=12, metavar="N", help="the first N (default: 12)")
    options, model, out = _opened(parser, arguments)
    given = _given(model, options, options.images)
    every = given.repeat_interleave(COLUMNS, 0)
    made = drawn(options, len(every), "drawing", lambda piece, **asked: model.reconstruct(every[piece], **asked))
    all_known = torch.ones(given.shape, dtype=torch.bool)
    sheet = pictures.completions(given, all_known, made, model.spec.levels, ordinal=model.spec.ordinal)
    pictures.write(sheet, out)
    print(f"{several(len(given), 'image')}, {COLUMNS} reconstructions of each: {out}")


def interpolations(arguments: list[str]) -> None:
    """Images on the way from one image to another."""
    parser = _parser("interpolations", "Each row: an image, images on the way to another, and that one.")
    parser.add_data()
    parser.add_argument("-n", "--pairs", type=whole(1), default=8, metavar="N", help="of images (default: 8)")
    parser.add_argument("--steps", type=whole(2), default=8, metavar="K", help="images drawn on a way (default: 8)")
    options, model, out = _opened(parser, arguments)
    given = _given(model, options, 2 * options.pairs)
    afford(options.pairs * (options.steps + 2), model.spec, [out], lower="--steps or --pairs")
    x, y = given[::2], given[1::2]
    drawn = model.interpolate(x, y, options.steps, seed=options.seed, temperature=options.temperature).cpu()
    rows = torch.cat([x.unsqueeze(1), drawn, y.unsqueeze(1)], 1)
    sheet = pictures.grid(rows.flatten(0, 1), model.spec.levels, ordinal=model.spec.ordinal, columns=options.steps + 2)
    pictures.write(sheet, out)
    print(f"{len(x)} pairs of images, {options.steps} steps from one to the other: {out}")


def _parser(kind: str, about: str) -> Parser:
    example = f"nextpixel plot {kind} runs/mnist-binary-pixelvae --out {kind}.png"
    parser = Parser(f"plot {kind}", f"{about} For a pixelvae.", examples=[example])
    parser.add_model()
    parser.add_drawing()
    parser.add_argument("--out", default=f"{kind}.png", metavar="FILE.png", help=f"(default: {kind}.png)")
    return parser


def _opened(parser: Parser, arguments: list[str]) -> tuple[Namespace, npx.PixelVAE, Path]:
    """What is asked for, the model, and the place of the picture."""
    options = parser.parse_args(arguments)
    model = load(options)
    if not isinstance(model, npx.PixelVAE):
        name = model.recipe["name"]
        raise npx.BadInput(f"The plot is of latent vectors, which a {name} has not; it needs a pixelvae.")
    return options, model, place(options.out, ".png")


def _given(model: npx.PixelVAE, options: Namespace, count: int) -> Tensor:
    """The first images of the data set's split."""
    name, split, notes, _ = images_of(model, options)
    if len(split) < count:
        raise npx.BadInput(f"The plot needs {count} images; the {options.split} split of {name} has {len(split)}.")
    tell(notes)
    given, _ = split.batch(np.arange(count), np.random.default_rng(options.seed))
    return given.long()
