"""`nextpixel exact`: the integer twin of a model, which compresses."""

from argparse import Namespace

import numpy as np

import nextpixel as npx
from nextpixel import pairing
from nextpixel.cli.common import images_of, load, place, tell


def main(options: Namespace) -> None:
    """Make the twin, and say what the rounding costs."""
    out = place(str(options.out), ".safetensors")
    model = load(options)
    _, split, notes, _ = images_of(model, options)
    which = np.arange(min(options.images, len(split)))
    x = split.batch(which, np.random.default_rng(options.seed))[0].long()
    given = pairing.given(model.context, split, which)
    twin = npx.exact(model, x, given)
    npx.save(twin, out)
    tell(notes)
    float_bits, whole_bits = (float(npx.bits_per_dim(each, x, given).mean()) for each in (model, twin))
    print(f"{out}: {whole_bits:.4f} bits per dimension of {len(x)} images, {float_bits:.4f} before it was rounded.")
