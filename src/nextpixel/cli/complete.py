"""`nextpixel complete`: images of which a part is known."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, processes
from nextpixel.cli import common
from nextpixel.cli.known import known_pixels
from nextpixel.cli.parsers import PICTURES
from nextpixel.pairing import given


def main(options: Namespace) -> None:
    """Draw the unknown part of images; the grid shows each as it was given, then its completions."""
    out = [common.place(text, *PICTURES, ".npz") for text in options.out]
    model = common.load(options)
    _, images, split, notes = common.asked_images(model, options)
    fit = common.config_of(options.model)["data"].get("fit", "crop")
    known = known_pixels(options.known, images, seed=options.seed, beside=options.source, fit=fit)
    common.afford(len(images) * options.completions, model.spec, out, lower="-n or --completions")
    particles = {} if options.particles == 1 else {"particles": options.particles}
    if particles:
        common.exact(model, "--particles")
        common.require(64 * options.particles * model.spec.subpixels, f"{options.particles} particles", "--particles")
    every = torch.arange(len(images)).repeat_interleave(options.completions)
    spec = model.spec

    def draw(piece: slice, **asked: Any) -> Tensor:
        which = every[piece]
        return model.complete(images[which], known[which], given(model.context, split, which), **asked, **particles)

    completed = common.drawn(options, len(every), "completing", draw, max(1, common.BATCH // options.particles))
    if isinstance(model, npx.Autoregressive) and not particles and bool(model.reading.met(known).amin(1).any()):
        late = "some known pixels come after unknown ones in the model's reading order, and are not seen by these"
        notes.append(f"{late}; --particles 64 weighs by them, and training with model.orders 8 reads from any side")
    common.tell(notes)
    print(f"{100 * known.float().mean():.4g} % of the pixels are known.")
    original = options.source is None or not Path(options.known).is_file()  # a mask may hide what was never there
    sheet = pictures.completions(images, known, completed, spec.levels, ordinal=spec.ordinal, original=original)
    count, each = common.several(len(images), "image"), common.several(options.completions, "completion")
    columns = f"given, {each}{', original' * original}"
    title = f"{options.model}: {columns}; temperature {options.temperature:g}, seed {options.seed}"
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() != ".npz":
            pictures.write(pictures.titled(sheet, title), path)
        else:
            common.write_images(path, model, completed, split.take(every.numpy()), given=images, known=known)
        print(f"{count}, {each} of each: {path}")
