"""`nextpixel complete`: images of which a part is known."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nextpixel import pictures, processes
from nextpixel.cli.common import (
    BATCH,
    afford,
    asked_images,
    drawn,
    exact,
    load,
    place,
    require,
    several,
    tell,
    write_images,
)
from nextpixel.cli.known import known_pixels
from nextpixel.cli.parsers import PICTURES
from nextpixel.pairing import given


def main(options: Namespace) -> None:
    """Draw the unknown part of images; the grid shows each as it was given, then its completions."""
    out = [place(text, *PICTURES, ".npz") for text in options.out]
    model = load(options)
    _, images, split, notes = asked_images(model, options)
    known = known_pixels(options.known, images, seed=options.seed)
    afford(len(images) * options.completions, model.spec, out, lower="-n or --completions")
    particles = {} if options.particles == 1 else {"particles": options.particles}
    if particles:
        exact(model, "--particles")
        require(64 * options.particles * model.spec.subpixels, f"{options.particles} particles", "--particles")
    every = torch.arange(len(images)).repeat_interleave(options.completions)
    spec = model.spec

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = every[piece]
        return model.complete(images[which], known[which], given(model.context, split, which), **asked, **particles)

    completed = drawn(options, len(every), "completing", draw, max(1, BATCH // options.particles))
    tell(notes)
    print(f"{100 * known.float().mean():.4g} % of the pixels are known.")
    original = options.source is None or not Path(options.known).is_file()  # a mask may hide what was never there
    sheet = pictures.completions(images, known, completed, spec.levels, ordinal=spec.ordinal, original=original)
    columns = f"given, {several(options.completions, 'completion')}{', original' * original}"
    title = f"{options.model}: {columns}; temperature {options.temperature:g}, seed {options.seed}"
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() != ".npz":
            pictures.write(pictures.titled(sheet, title), path)
        else:
            write_images(path, model, completed, split.take(every.numpy()), given=images, known=known)
        print(f"{several(len(images), 'image')}, {several(options.completions, 'completion')} of each: {path}")
