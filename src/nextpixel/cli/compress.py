"""`nextpixel compress`: images into a container, by an exact model."""

from argparse import Namespace
from pathlib import Path

import numpy as np

import nextpixel as npx
from nextpixel.cli.common import asked_images, load, tell
from nextpixel.files import whole_file
from nextpixel.integers import twin


def main(options: Namespace) -> None:
    """Compress, decode again unless told otherwise, and say what it came to."""
    model, out = twin(load(options)), Path(options.out)
    _, x, split, notes = asked_images(model, options)
    labels = None if split.labels is None or model.context is None else np.asarray(split.labels)[: len(x)]
    made = npx.compress(model, x, labels, verify=not options.no_verify)
    with whole_file(out) as beside:
        beside.write_bytes(made)
    tell(notes)
    verified = "not decoded again" if options.no_verify else "decoded again, and the same"
    bits = 8 * len(made) / (len(x) * model.spec.subpixels)
    print(f"{out}: {len(x):,} images, {len(made):,} bytes, {bits:.4f} bits per dimension; {verified}.")
