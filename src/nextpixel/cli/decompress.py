"""`nextpixel decompress`: the images of a container, by the exact model that made it."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import pictures
from nextpixel.cli.common import load, place, several, tell, write_images
from nextpixel.codec import decoded
from nextpixel.data import Split
from nextpixel.integers import twin


def main(options: Namespace) -> None:
    """Write an npz file of the images, or a folder of pictures."""
    out = Path(options.out)
    model, file = twin(load(options)), options.file
    if not file.is_file():
        raise npx.BadInput(f"There is no file {file}.")
    parts, notes = [], []
    for number, got in enumerate(decoded(model, file.read_bytes())):
        if isinstance(got, torch.Tensor):
            parts.append(got)
        elif options.recover:
            notes.append(f"block {number} of {file} is lost: {got}")
        else:
            raise npx.BadInput(f"Block {number} of {file} is damaged: {got}; --recover gives the images of the others.")
    if not parts:
        raise npx.BadInput(f"{file} has no images.")
    images = torch.cat(parts)
    if out.suffix == ".npz":
        write_images(place(str(out), ".npz"), model, images, Split(np.empty(len(images))))
    else:
        _pictures(images.to(torch.uint8), model.spec, out)
    tell(notes)
    print(f"{out}: {several(len(images), 'image')}.")


def _pictures(images: torch.Tensor, spec: npx.ImageSpec, folder: Path) -> None:
    """Write each image as a PNG file that has its levels."""
    if spec.levels != 256 or spec.channels not in (1, 3):
        raise npx.BadInput(f"Images {spec} are not what a PNG file holds; give an .npz file, not {folder}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise npx.BadInput(f"{folder} is there and not an empty folder; give another, or an .npz file.")
    for number, image in enumerate(images):
        array = image.movedim(0, -1).numpy()
        pictures.write(Image.fromarray(array if spec.channels == 3 else array[..., 0]), folder / f"{number:06d}.png")
