"""`nextpixel plot`: what a model sees, how a run went, and a figure for a paper."""

import argparse
import re
import sys
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
from nextpixel.cli.common import Parser, drawn, exact, images_of, load, place, several, tell, whole, with_bar
from nextpixel.errors import closest
from nextpixel.pairing import given

EXAMPLES = (
    "nextpixel plot receptive-field runs/digits --pixel 4,4",
    "nextpixel plot curves runs/digits runs/mnist-binary --over minutes",
    "nextpixel plot samples runs/digits",
    "nextpixel plot figure runs/digits --out figure.png",
    "nextpixel plot latents runs/mnist-binary-pixelvae",
)
ACROSS, DRAWN, COMPLETED = 12, 6, 6  # the figure: columns, rows from scratch, rows of completions


def main(arguments: list[str]) -> None:
    """Find the kind of plot."""
    match arguments:
        case [kind, *rest] if kind in KINDS:
            KINDS[kind](rest)
        case [kind, *_] if not kind.startswith("-"):
            close = closest(kind, KINDS)
            hint = f"did you mean {close}?" if close else f"there are {', '.join(KINDS)}."
            raise npx.BadInput(f"There is no plot {kind!r}; {hint}")
        case _:
            about = "Draw what a model sees, how a run went, or a figure of samples."
            parser = Parser("plot", about, examples=EXAMPLES)
            kinds = f"{', '.join(KINDS)}; nextpixel plot KIND --help says more"
            parser.add_argument("kind", metavar="KIND", help=kinds)
            parser.parse_args(arguments)


def _receptive_field(arguments: list[str]) -> None:
    parser = Parser(
        "plot receptive-field",
        "Draw which sub-pixels a pixel's distribution depends on, by gradient: a panel for each pair of channels.",
        examples=(
            "nextpixel plot receptive-field runs/digits",
            "nextpixel plot receptive-field model.safetensors --pixel 16,31 --channel 2 --out blue.png",
        ),
    )
    parser.add_model()
    parser.add_argument("--pixel", type=_pixel, metavar="r,c", help="row and column from 0 (default: the centre)")
    parser.add_argument("--channel", type=whole(0), metavar="N", help="the parameters of this one (default: of each)")
    parser.add_seed("of the images' random levels (default: 0)")
    options, out = _options(parser, arguments, "receptive-field.png")
    model = exact(load(options), "The receptive field")
    row, column = options.pixel or (model.spec.height // 2, model.spec.width // 2)
    where = (row, column, options.channel)
    field = plots.receptive_field(model, *where, seed=options.seed, watch=partial(with_bar, doing="looking"))
    pictures.write(plots.draw_receptive_field(model, field, *where), out)
    print("\n".join(plots.describe_receptive_field(model, field, *where)))
    print(f"The receptive field: {out}")


def _curves(arguments: list[str]) -> None:
    parser = Parser(
        "plot curves",
        "Draw the training and validation curves of runs, in bits per dimension.",
        examples=(
            "nextpixel plot curves runs/digits",
            "nextpixel plot curves runs/a runs/b --over step --out compared.png",
        ),
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder")
    about = "the horizontal axis (default: epoch)"
    parser.add_argument("--over", choices=("epoch", "step", "minutes"), default="epoch", help=about)
    options, out = _options(parser, arguments, "curves.png")
    # Of several, such as runs/*, some may have no metrics (yet); but one must.
    runs = [run for run in options.runs if (run / "metrics.csv").is_file()] or options.runs[:1]
    curves = [plots.read_curves(run, options.over) for run in runs]
    pictures.write(plots.draw_curves(curves, options.over), out)
    print("".join(f"{run} has no metrics.\n" for run in options.runs if run not in runs), end="", file=sys.stderr)
    print(f"The curves of {', '.join(map(str, runs))}: {out}")


def _samples(arguments: list[str]) -> None:
    parser = Parser(
        "plot samples",
        "Draw side by side what a run drew while it was trained.",
        examples=("nextpixel plot samples runs/digits", "nextpixel plot samples runs/digits -n 4 --out over-time.png"),
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    about = "at most, evenly over the run (default: 12)"
    parser.add_argument("-n", "--pictures", type=whole(1), default=12, metavar="N", help=about)
    options, out = _options(parser, arguments, "samples-over-time.png")
    found = plots.read_samples(options.run, options.pictures)
    pictures.write(plots.draw_samples(found), out)
    print(f"{several(len(found), 'picture')} of {options.run}: {out}")


def _figure(arguments: list[str]) -> None:
    parser = Parser(
        "plot figure",
        f"Draw {ACROSS}x{DRAWN + COMPLETED} images: {DRAWN} rows from scratch, then {COMPLETED} rows that complete the "
        f"top halves of {ACROSS} images, one a column. With classes or maps, a column has those of its image.",
        examples=(
            "nextpixel plot figure runs/digits",
            "nextpixel plot figure model.safetensors --data mnist-binary --seed 3 --out figure.png",
        ),
    )
    parser.add_model()
    parser.add_data()
    parser.add_drawing()
    options, out = _options(parser, arguments, "figure.png")
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


def _options(parser: Parser, arguments: list[str], default: str) -> tuple[argparse.Namespace, Path]:
    """What is asked for, and the place of the picture."""
    parser.add_argument("--out", default=default, metavar="FILE.png", help=f"(default: {default})")
    options = parser.parse_args(arguments)
    return options, place(options.out, ".png")


def _pixel(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,18}),([0-9]{1,18})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pixel r,c such as 14,7")
    return int(found[1]), int(found[2])


KINDS: dict[str, Callable[[list[str]], None]] = {
    "receptive-field": _receptive_field,
    "curves": _curves,
    "samples": _samples,
    "figure": _figure,
    "latents": plot_latent.latents,
    "reconstructions": plot_latent.reconstructions,
    "interpolations": plot_latent.interpolations,
}
