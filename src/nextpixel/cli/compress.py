"""`nextpixel compress`: images into a container, by an exact model."""

from argparse import Namespace
from pathlib import Path

import numpy as np

import nextpixel as npx
from nextpixel.cli.common import images_of, load, source_of, tell
from nextpixel.files import whole_file
from nextpixel.integers import twin


def main(options: Namespace) -> None:
    """Compress, decode again unless told otherwise, and say what it came to."""
    model, out = twin(load(options)), Path(options.out)
    if options.source is None:
        _, split, notes, _ = images_of(model, options)
    else:
        split, notes = source_of(model, options.source, options)
    which = np.arange(min(len(split), options.images or len(split)))
    x, labels = split.batch(which, np.random.default_rng(options.seed))
    x, labels = x.long(), labels if model.context is not None else None
    made = npx.compress(model, x, labels, verify=not options.no_verify)
    with whole_file(out) as beside:
        beside.write_bytes(made)
    tell(notes)
    verified = "not decoded again" if options.no_verify else "decoded again, and the same"
    bits = 8 * len(made) / (len(x) * model.spec.subpixels)
    print(f"{out}: {len(x):,} images, {len(made):,} bytes, {bits:.4f} bits per dimension; {verified}.")
