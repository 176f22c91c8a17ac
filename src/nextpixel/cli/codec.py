"""`nextpixel exact`, `compress`, `decompress` and `info`: images in containers, by the integer twin of a model."""

import os
from argparse import Namespace
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import pictures, processes
from nextpixel.cli import common
from nextpixel.cli.common import images_of, load, place, several, source_of, tell
from nextpixel.codec import LIST, PNG, opened, parsed
from nextpixel.data import Split
from nextpixel.data.readers.encoded import left_out, read_pixels
from nextpixel.data.readers.folder import IMAGE_SUFFIXES, image_names
from nextpixel.errors import BadInput, require
from nextpixel.files import empty, whole_file, whole_folder
from nextpixel.integers import twin
from nextpixel.pairing import given
from nextpixel.tiles import Picture, cut, join


def exact(options: Namespace) -> None:
    """Make the twin, and say what the rounding costs."""
    out = place(str(options.out), ".safetensors")
    model = load(options)
    _, split, notes, _ = images_of(model, options)
    x = common.first(split, options.seed, options.images)
    beside = given(model.context, split, range(len(x)))
    made = npx.exact(model, x, beside)
    npx.save(made, out)
    tell(notes)
    before, after = (float(npx.bits_per_dim(each, x, beside).mean()) for each in (model, made))
    print(f"{out}: {after:.4f} bits per dimension of {len(x)} images, {before:.4f} before it was rounded.")


def compress(options: Namespace) -> None:
    """Compress, decode again unless told otherwise, and say what it came to."""
    source, out = common.one_source(options), place(options.out)
    model, found, labels = twin(load(options)), list[Picture](), None
    if source is not None and (source.is_dir() or source.suffix.lower() in IMAGE_SUFFIXES):
        if not source.exists():
            raise BadInput(f"There is no file or folder {source}.")
        if "--split" in options.typed:
            raise BadInput(f"--split is of sets, but the pictures of {source} are taken as they are, all of them.")
        x, found, notes = _tiles(source, model.spec, options.images)
    else:
        if source is None:
            split, notes = images_of(model, options, whole=True)[1:3]
        else:
            split, notes = source_of(model, source, options, whole=True)
        x = common.first(split, options.seed, options.images)
        labels = None if split.labels is None else given(model.context, split, range(len(x)))
    made = npx.compress(model, x, labels, verify=not options.no_verify, pictures=found)
    if processes.rank() > 0:
        return
    with whole_file(out) as beside:
        beside.write_bytes(made)
    tell(notes)
    verified = "not decoded again" if options.no_verify else "decoded again, and the same"
    own = sum(each.height * each.width * each.channels for each in found) or x.numel()
    what = f"{several(len(found), 'picture')} as " * bool(found) + several(len(x), "image")
    print(f"{out}: {what}, {len(made):,} bytes, {8 * len(made) / own:.4f} bits per dimension; {verified}.")


def decompress(options: Namespace) -> int:
    """Write an npz file of the images, or a folder of pictures; status 1 where some are lost."""
    out, file, data = Path(options.out), options.file, _bytes(options.file)
    if out.suffix.lower() in IMAGE_SUFFIXES:
        raise BadInput(f"The output is an .npz file, or a new folder for pictures, not {out}.")
    arrays = out.suffix.lower() == ".npz"
    out = place(options.out) if arrays else empty(out)
    model = twin(load(options))
    spec = model.spec
    step = 1 if arrays else _step(spec, out)  # refused before the work
    count = parsed(data)[1]
    require(16 * count * spec.subpixels, f"{count:,} images {spec}", "the number in several containers")
    found = opened(model, data, recover=options.recover, what=str(file))
    if not found.blocks:
        raise BadInput(f"{file} has no images.")
    if processes.rank() > 0:
        return 0
    images, damage = torch.cat([*found.blocks.values()]), [f"{file} is damaged: {what}" for what in found.damage]
    there = torch.cat([torch.arange(start, start + len(some)) for start, some in found.blocks.items()])
    if lost := count - len(images):
        gone = sorted({*range(count)} - {*there.tolist()})
        damage.append(f"{lost:,} of {count:,} images are lost, from number {gone[0]} to {gone[-1]}")
    wrote = several(len(images), "image")
    if arrays:
        common.write_images(out, model, images, Split(np.empty(len(images))), **({"numbers": there} if lost else {}))
        if found.pictures:
            tell([f"these are the tiles of {several(len(found.pictures), 'picture')}, which a folder gives back whole"])
    else:
        done, start = 0, 0
        tiles = dict(zip(there.tolist(), images, strict=True))
        with whole_folder(out) as beside:
            for picture in found.pictures or [Picture(0, *spec.shape[1:], spec.channels, "")] * count:
                own = range(start, start := start + int(np.prod(picture.grid(spec))))
                if not all(number in tiles for number in own):
                    damage += [f"{picture.name} is lost"] * bool(picture.name)
                    continue
                pixels = join(torch.stack([tiles[number] for number in own]), picture, spec) * step
                array = pixels.to(torch.uint8).movedim(0, -1).numpy()
                path = beside / (picture.name or f"{own.start:06d}.png")
                pictures.write(Image.fromarray(array if len(pixels) == 3 else array[..., 0]), path)
                if picture.name:
                    with suppress(OSError, OverflowError):  # a date that this disk cannot hold
                        os.utime(path, ns=(picture.changed, picture.changed))
                done += 1
        wrote = several(done, "picture")
    tell(damage, wrong=True)
    print(f"{out}: {wrote}.")
    return int(bool(lost))


def info(options: Namespace) -> None:
    """Print what a container says of itself, damage included."""
    data = _bytes(options.file)
    model, count, blocks = parsed(data)
    print(f"{options.file}: {several(count, 'image')}, {len(data):,} bytes, by the exact model {model.hex()}")
    for block in blocks:
        if isinstance(block, str):
            print(f"  damaged: {block}")
        else:
            what = "the list of pictures" if block.kind == LIST else f"images from {block.first:,} on"
            print(f"  {what}: {len(block.content):,} bytes{', as PNG' if block.kind == PNG else ''}")


def _bytes(file: Path) -> bytes:
    if not file.is_file():  # a pipe would be waited for
        what = "a folder" if file.is_dir() else "no file" if file.exists() else ""
        raise BadInput(f"{file} is {what}, not a container." if what else f"There is no file {file}.")
    return file.read_bytes()


def _tiles(source: Path, spec: npx.ImageSpec, most: int | None) -> tuple[Tensor, list[Picture], list[str]]:
    """The tiles of all pictures, the pictures, and what to `tell`."""
    step, skipped, notes = _step(spec, source), Counter[str](), list[str]()
    tiles, found = list[Tensor](), list[Picture]()
    files = [source / name for name in image_names(source, skipped)[:most]] if source.is_dir() else [source]
    for file in files:
        pixels = read_pixels(file, file)
        notes += [f"of {file}, {what}" for what in left_out(file)]
        if pixels.dtype != np.uint8 or (pixels % step).any():
            raise BadInput(f"{file} has other levels than the {spec.levels} of the model, evenly from 0 to 255.")
        name = (file.relative_to(source) if source.is_dir() else Path(file.name)).as_posix()
        name += "" if name.lower().endswith((".png", ".webp")) else ".png"
        channels, height, width = pixels.shape
        found.append(Picture(file.stat().st_mtime_ns, height, width, channels, name))
        tiles.append(cut(torch.from_numpy(pixels // step), spec))
        require(16 * sum(map(len, tiles)) * spec.subpixels, f"The pictures of {source}", "-n")
    counts = ", ".join(f"{count} {kind}" for kind, count in skipped.most_common())
    return torch.cat(tiles), found, [*notes, *[f"files skipped: {counts}"] * bool(skipped)]


def _step(spec: npx.ImageSpec, place: Path) -> int:
    """How far apart the levels are in a picture."""
    if 255 % (spec.levels - 1) or spec.channels not in (1, 3):
        raise BadInput(f"Images {spec} are not what a picture holds; give an .npz file, not {place}.")
    return 255 // (spec.levels - 1)
