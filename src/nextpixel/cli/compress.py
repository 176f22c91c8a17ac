"""`nextpixel compress`: images into a container, by an exact model."""

from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import nextpixel as npx
from nextpixel import processes
from nextpixel.cli.common import images_of, load, require, source_of, tell
from nextpixel.data.readers.encoded import read_pixels
from nextpixel.data.readers.folder import IMAGE_SUFFIXES, image_names
from nextpixel.files import whole_file
from nextpixel.integers import twin
from nextpixel.tiles import Picture, cut


def main(options: Namespace) -> None:
    """Compress, decode again unless told otherwise, and say what it came to."""
    model, out, pictures, labels = twin(load(options)), Path(options.out), list[Picture](), None
    source = options.source
    if source is not None and (source.is_dir() or source.suffix.lower() in IMAGE_SUFFIXES):
        x, pictures, notes = _pictures(source, model.spec, options.images)
    else:
        split, notes = images_of(model, options)[1:3] if source is None else source_of(model, source, options)
        which = np.arange(min(len(split), options.images or len(split)))
        x, labels = split.batch(which, np.random.default_rng(options.seed))
        x, labels = x.long(), labels if model.context is not None else None
    made = npx.compress(model, x, labels, verify=not options.no_verify, pictures=pictures)
    if processes.rank() > 0:
        return
    with whole_file(out) as beside:
        beside.write_bytes(made)
    tell(notes)
    verified = "not decoded again" if options.no_verify else "decoded again, and the same"
    own = sum(each.height * each.width * each.channels for each in pictures) or x.numel()
    what = f"{len(pictures):,} pictures as {len(x):,} images" if pictures else f"{len(x):,} images"
    print(f"{out}: {what}, {len(made):,} bytes, {8 * len(made) / own:.4f} bits per dimension; {verified}.")


def _pictures(source: Path, spec: npx.ImageSpec, most: int | None) -> tuple[torch.Tensor, list[Picture], list[str]]:
    """The tiles of all pictures, the pictures, and what to `tell`."""
    if 255 % (spec.levels - 1) or spec.channels not in (1, 3):
        raise npx.BadInput(f"Images {spec} are not what a picture holds; give an .npz file, not {source}.")
    skipped: Counter[str] = Counter()
    files = [source / name for name in image_names(source, skipped)[:most]] if source.is_dir() else [source]
    step, tiles, found = 255 // (spec.levels - 1), [], []
    for file in files:
        pixels = read_pixels(file, file)
        if pixels.dtype != np.uint8 or (pixels % step).any():
            raise npx.BadInput(f"{file} has other levels than the {spec.levels} of the model, evenly from 0 to 255.")
        name = (file.relative_to(source) if source.is_dir() else Path(file.name)).as_posix()
        name += "" if name.lower().endswith((".png", ".webp")) else ".png"
        channels, height, width = pixels.shape
        found.append(Picture(file.stat().st_mtime_ns, height, width, channels, name))
        tiles.append(cut(torch.from_numpy(pixels // step), spec))
        require(16 * sum(map(len, tiles)) * spec.subpixels, f"The pictures of {source}", "-n")
    notes = (
        [f"files skipped: {', '.join(f'{count} {kind}' for kind, count in skipped.most_common())}"] if skipped else []
    )
    return torch.cat(tiles), found, notes
