"""A data set of small images from a folder of your own photographs, of any sizes, in colour or grey.

    python examples/photographs.py FOLDER --out photos32.npz
    nextpixel train photos32-pixelcnnpp --data.name photos32.npz

From each photograph the square in its middle is taken, or with --tiles N up to N squares side by side, and reduced to
--size by Pillow's antialiased filter. One square a photograph: nextpixel splits them itself, by a hash of each image.
Several: the file says the split, a tenth of the photographs each for validation and test, by a hash of each, so that
all tiles of a photograph are in one split. The same photographs give the same file, whatever their names and order.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import nextpixel as npx

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with photographs, also in folders inside it")
    parser.add_argument("--out", type=Path, default=Path("photos32.npz"), help="(default: photos32.npz)")
    parser.add_argument("--size", type=int, default=32, help="rows and columns of an image (default: 32)")
    parser.add_argument("--grey", action="store_true", help="one channel instead of three")
    parser.add_argument("--tiles", type=int, default=1, help="at most so many images of a photograph (default: 1)")
    options = parser.parse_args()
    try:
        make(options)
    except (npx.BadInput, OSError) as error:
        parser.exit(2, f"photographs.py: {error}\n")


def make(options: argparse.Namespace) -> None:
    for name in ("size", "tiles"):
        if getattr(options, name) < 1:
            raise npx.BadInput(f"--{name} must be at least 1, not {getattr(options, name)}.")
    if options.out.suffix != ".npz":
        raise npx.BadInput(f"--out must end in .npz, not {options.out}.")
    if not options.folder.is_dir():
        raise npx.BadInput(f"There is no folder {options.folder}.")
    paths = [path for path in sorted(options.folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    paths = [path for path in paths if not path.name.startswith(".")]
    found: dict[str, NDArray[np.uint8]] = {}  # the images of a photograph by their hash: copies are there once
    small = 0
    for path in paths:
        photograph = opened(path, grey=options.grey)
        if min(photograph.size) < options.size:
            small += 1
            continue
        images = tiles(photograph, options.size, options.tiles)
        found[hashlib.sha256(images.tobytes()).hexdigest()] = images
    if len(found) < 3:
        left_out = f", {small} of them smaller than {options.size} pixels" if small else ""
        raise npx.BadInput(
            f"{options.folder} has {len(paths)} photographs{left_out}; three different ones are the least, one a split."
        )
    in_order = [found[key] for key in sorted(found)]
    tenth = max(1, len(in_order) // 10)
    splits = {"test": in_order[:tenth], "validation": in_order[tenth : 2 * tenth], "train": in_order[2 * tenth :]}
    made: dict[str, Any] = {f"{name}_images": np.concatenate(those) for name, those in splits.items()}
    if options.tiles == 1:
        made = {"images": np.concatenate(in_order)}
    np.savez_compressed(options.out, **made)
    total = sum(map(len, in_order))
    print(f"{options.out}: {total:,} images of {options.size}x{options.size} from {len(in_order):,} photographs")
    if small:
        print(f"{small:,} photographs are smaller than {options.size} pixels, and left out")
    if copies := len(paths) - small - len(in_order):
        print(f"{copies:,} photographs are copies of others, and left out")


def opened(path: Path, *, grey: bool) -> Image.Image:
    """A photograph, upright, on white where it is transparent."""
    try:
        with Image.open(path) as file:
            if file.mode.startswith(("I", "F")):
                raise npx.BadInput(f"{path} has more than 256 levels; save it with 8 bits a channel.")
            picture = ImageOps.exif_transpose(file).convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises for a damaged file
        raise npx.BadInput(f"{path} cannot be read as an image; take it out of the folder.") from error
    paper = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(paper, picture).convert("L" if grey else "RGB")


def tiles(photograph: Image.Image, size: int, most: int) -> NDArray[np.uint8]:
    """The largest squares that fill it best and are at most so many, each reduced: (n, size, size) or (…, 3)."""
    width, height = photograph.size
    shorter = min(width, height)
    side, across, down = shorter, min(width // shorter, most), min(height // shorter, most)
    for cuts in range(2, shorter // size + 1):
        smaller = shorter // cuts
        if (width // smaller) * (height // smaller) > most:
            break
        side, across, down = smaller, width // smaller, height // smaller
    left, top = (width - across * side) // 2, (height - down * side) // 2
    corners = [(left + column * side, top + row * side) for row in range(down) for column in range(across)]
    squares = [photograph.crop((x, y, x + side, y + side)) for x, y in corners]  # a filter looks beyond a box
    return np.stack([np.asarray(square.resize((size, size), Image.Resampling.LANCZOS)) for square in squares])


if __name__ == "__main__":
    main()
