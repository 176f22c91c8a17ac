"""`nextpixel decompress`: the images of a container, by the exact model that made it."""

import os
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import nextpixel as npx
from nextpixel import pictures, processes
from nextpixel.cli.common import load, place, require, several, tell, write_images
from nextpixel.codec import opened, parsed
from nextpixel.data import Split
from nextpixel.integers import twin
from nextpixel.tiles import Picture, join


def main(options: Namespace) -> None:
    """Write an npz file of the images, or a folder of pictures."""
    out = Path(options.out)
    model, file = twin(load(options)), options.file
    if not file.is_file():
        raise npx.BadInput(f"There is no file {file}.")
    data = file.read_bytes()
    count = parsed(data)[1]
    require(16 * count * model.spec.subpixels, f"{count:,} images {model.spec}", "the number in several containers")
    found = opened(model, data, recover=options.recover, what=str(file))
    if not found.blocks:
        raise npx.BadInput(f"{file} has no images.")
    if processes.rank() > 0:
        return
    images, notes = torch.cat([*found.blocks.values()]), [f"{file} is damaged: {what}" for what in found.damage]
    wrote = several(len(images), "image")
    if out.suffix == ".npz":
        write_images(place(str(out), ".npz"), model, images, Split(np.empty(len(images))))
    else:
        _check(model.spec, out)
        there = torch.cat([torch.arange(first, first + len(some)) for first, some in found.blocks.items()])
        tiles = dict(zip(there.tolist(), images, strict=True))
        done, start = 0, 0
        for picture in found.pictures or [Picture(0, *model.spec.shape[1:], len(image), "") for image in images]:
            own = range(start, start := start + int(np.prod(picture.grid(model.spec))))
            if not picture.name:
                _write(images[own.start], model.spec, out / f"{own.start:06d}.png")
            elif all(number in tiles for number in own):
                whole = join(torch.stack([tiles[number] for number in own]), picture, model.spec)
                _write(whole, model.spec, path := out / picture.name)
                with suppress(OSError, OverflowError):  # a date that this disk cannot hold
                    os.utime(path, ns=(picture.changed, picture.changed))
            else:
                notes.append(f"{picture.name} is lost")
                continue
            done += 1
        wrote = several(done, "picture")
    tell(notes)
    print(f"{out}: {wrote}.")


def _check(spec: npx.ImageSpec, folder: Path) -> None:
    if 255 % (spec.levels - 1) or spec.channels not in (1, 3):
        raise npx.BadInput(f"Images {spec} are not what a PNG file holds; give an .npz file, not {folder}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise npx.BadInput(f"{folder} is there and not an empty folder; give another, or an .npz file.")


def _write(image: torch.Tensor, spec: npx.ImageSpec, path: Path) -> None:
    array = (image * (255 // (spec.levels - 1))).to(torch.uint8).movedim(0, -1).numpy()
    pictures.write(Image.fromarray(array if array.shape[-1] == 3 else array[..., 0]), path)
