"""What the tabs of the app do, without the page: pictures in, pictures and sentences out, all of it bounded."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from nextpixel import pictures, plots
from nextpixel.autoregressive import Autoregressive
from nextpixel.checkpoint import load, save
from nextpixel.codec import compress
from nextpixel.errors import BadInput, whole
from nextpixel.evaluation import formats, lossless
from nextpixel.integers import exact, refusal
from nextpixel.model import Model
from nextpixel.nn.context import ClassLabel
from nextpixel.scores import score
from nextpixel.spec import ImageSpec
from nextpixel.unroll import Progress

ANY = "any"  # class
MOST, COMPLETIONS, CALIBRATING = 64, 4, 64  # images or particles; of each picture; samples that a twin is made with
LARGEST, DOTS, KEPT = 2**14, 2**24, 8  # sub-pixels of a model's images; dots of an upload; models in memory
SHOWN, NAMED = 420, 16  # dots that a picture has at least; levels that have a place each in a plot
UNKNOWN = "#ff3fa4"  # the colour to brush with over what shall be drawn
NEAR, TOUCHED = 60, 26  # how far from that colour still is it; how much of a pixel, of 255, it has to cover


class Seen(NamedTuple):
    """An image that is looked into: all that a click on it needs."""

    name: str  # of the model
    levels: Tensor  # (1, C, H, W)
    label: Tensor | None
    size: tuple[int, int]  # of its picture, in which channels may stand side by side


class Desk:
    """What is done for all users, with the models at some places, and files in a folder.

    The models used last are kept, and nothing that is a user's.
    """

    def __init__(self, places: dict[str, Path], device: torch.device, folder: str) -> None:
        self.places, self.device, self.folder = places, device, folder
        self.model, self.twin = lru_cache(KEPT)(self._model), lru_cache(KEPT)(self._twin)

    def draw(self, name: str, label: str, temperature: float, seed: int, count: Any) -> Generator[Image.Image]:
        """A picture of new images after each row of them; closing the generator ends the work at the next row.

        A row that changes nothing, such as a black one, has no picture: a file that is the same would be written again
        while the browser reads it.
        """
        model, count, before = self.model(name), bounded(count), torch.empty(0)

        def work(progress: Progress) -> Tensor:
            which = labels(model, label, count)
            return model.sample(count, which, seed=seed, temperature=temperature, progress=progress)

        for images in growing(work):
            if not torch.equal(images, before):
                yield larger(pictures.grid(images, model.spec.levels, ordinal=model.spec.ordinal))
            before = images

    def complete(
        self, name: str, label: str, temperature: float, seed: int, drawn: dict[str, Any] | None, particles: int
    ) -> tuple[Image.Image, str]:
        """What was drawn and its completions, and what was done. Of any class, one is drawn by how likely each is."""
        if not drawn or drawn["composite"] is None:
            raise BadInput("There is no picture yet: draw one, or upload one.")
        model = self.model(name)
        spec, given, known = model.spec, levels_of(drawn["composite"], model.spec), known_in(drawn, model.spec)
        if bool(known.all()):
            raise BadInput("Nothing is brushed away: paint in pink over what shall be drawn.")
        which, count, more = labels(model, label, COMPLETIONS), len(classes(model)), dict[str, Any]()
        said = f"{100 * known.float().mean():.0f} % are known"
        if isinstance(model, Autoregressive):
            more = {"particles": bounded(particles, "particles")}
            orders = f"; of {model.orders} orders, that in which least of what is known comes late"
            said += f"; {particles} particles each{orders if model.orders > 1 else ''}"
            if which is not None and label == ANY:
                some = given.expand(count, -1, -1, -1), known.expand(count, -1, -1, -1), torch.arange(count)
                odds = model.completion(*some, particles=4, seed=seed).evidence.softmax(0).cpu()
                which = odds.multinomial(COMPLETIONS, True, generator=torch.Generator().manual_seed(seed))
        every, marks = (its.expand(COMPLETIONS, -1, -1, -1) for its in (given, known))
        made = model.complete(every, marks, which, seed=seed, temperature=temperature, **more)
        said += "" if which is None else f"; classes {', '.join(classes(model)[its] for its in which)}"
        return larger(pictures.completions(given, known, made, spec.levels, ordinal=spec.ordinal)), f"{said}."

    def sample(self, name: str, label: str, temperature: float, seed: int, count: Any = 1) -> Tensor:
        """Images to work with, (B, C, H, W)."""
        model, count = self.model(name), bounded(count)
        return model.sample(count, labels(model, label, count), seed=seed, temperature=temperature).cpu()

    def look(self, name: str, label: str, x: Tensor) -> tuple[Seen, Image.Image, Image.Image, str]:
        """An image, what its pixels cost, and what of; any class is the one that makes it likeliest."""
        model = self.model(name)
        spec, which, count = model.spec, labels(model, label, 1), len(classes(model))
        if which is not None and label == ANY:
            with torch.no_grad():
                which = model.log_prob(x.expand(count, -1, -1, -1), torch.arange(count)).argmax().cpu()[None]
        found = score(model, x, which)
        most = max(float(np.quantile(found.bits.sum(1), 0.99)), 0.01)
        sheet = pictures.costs(x, found.bits, spec.levels, most=most, ordinal=spec.ordinal)
        wide = (sheet.width - pictures.BETWEEN) // 2
        left, right = (larger(sheet.crop((start, 0, start + wide, sheet.height))) for start in (0, sheet.width - wide))
        said = f"{float(found.bits_per_dim):.4f} bits a sub-pixel; a pixel costs from 0, black, to {most:.2g}, yellow"
        said += "" if which is None else f"; class {classes(model)[int(which)]}"
        return Seen(name, x, which, left.size), left, right, f"{said}. Click a pixel."

    def pixel(self, seen: Seen | None, x: int, y: int) -> tuple[Image.Image, dict[str, Any], str]:
        """What the pixel at a dot of a picture sees, its probabilities as columns of a table, and what it is."""
        model = None if seen is None else self.model(seen.name)
        if seen is None or not isinstance(model, Autoregressive):
            raise BadInput("There is no image to look into yet.")
        (height, width), (across, down) = seen.levels.shape[2:], seen.size
        row, column = y * height // down, x * round(height * across / down) // across % width
        field = plots.receptive_field(model, row, column)
        with torch.no_grad():
            pmf = model.predict(seen.levels, seen.label, order=0).pmf()[0, :, row, column].cpu().double().numpy()
        channels, count = pmf.shape
        levels = np.tile(np.arange(count).astype(str if count <= NAMED else int), channels)
        names = np.repeat([plots.channel_name(model, channel) for channel in range(channels)], count)
        table = {"level": levels, "probability": pmf.ravel(), "channel": names}
        chosen = zip(seen.levels[0, :, row, column].tolist(), pmf, strict=True)
        chances = [f"level {level}, probability {its[level]:.3g}" for level, its in chosen]
        said = f"Row {row}, column {column}: {'; '.join(chances)}."
        return plots.draw_receptive_field(model, field, row, column), table, said

    def pack(self, name: str, images: Tensor) -> tuple[TemporaryDirectory[str], list[list[Any]], list[str], str]:
        """A folder with the container and the model that reads it, what all files take, their paths, what is proven."""
        model, folder = self.twin(name), TemporaryDirectory(dir=self.folder)  # gone with the last who knows it
        made, paths = compress(model, images), [Path(folder.name, its) for its in ("images.npxc", "exact.safetensors")]
        Image.init()
        kinds = [*formats(model.spec), *(["JXL"] if "JXL" in Image.SAVE else [])]
        sizes = {"nextpixel": len(made), **{kind: lossless(images.numpy(), model.spec, kind) for kind in kinds}}
        rows = [[kind, size, round(8 * size / images.numel(), 4)] for kind, size in sizes.items()]
        paths[0].write_bytes(made)
        save(model, paths[1])
        said = f"{len(images)} images, decoded again: the same. `nextpixel decompress` takes both files."
        return folder, rows, [*map(str, paths)], said

    def _model(self, name: str) -> Model:
        if name not in self.places:
            raise BadInput(f"There is no model {name!r} here; there are {', '.join(self.places)}.")
        model = load(self.places[name], device=self.device)
        if model.spec.subpixels > LARGEST or not isinstance(model.context, ClassLabel | None):
            given = "" if model.context is None else f", given {model.context}"
            limits = f"at most {LARGEST:,} sub-pixels, given a class or nothing"
            raise BadInput(f"The app is for images of {limits}; those of {name} are {model.spec}{given}.")
        return model

    def _twin(self, name: str) -> Autoregressive:
        model = self.model(name)
        if isinstance(model, Autoregressive) and model.tables is not None:
            return model
        which = labels(model, ANY, CALIBRATING)
        return exact(model, torch.empty(0) if refusal(model) else model.sample(CALIBRATING, which), which)


def bounded(count: object, what: str = "images") -> int:
    """A number of what is made at once."""
    number = whole(count, f"The number of {what}", least=1)
    if number > MOST:
        raise BadInput(f"At most {MOST} {what} at once, not {number}.")
    return number


def classes(model: Model) -> list[str]:
    """The names of the classes, which may be none."""
    context = model.context
    return [context.name(label) for label in range(context.classes)] if isinstance(context, ClassLabel) else []


def labels(model: Model, name: str, count: int) -> Tensor | None:
    """The classes of images, (B,): all that of the name, or all classes in turn; None where there are none."""
    context = model.context
    if not isinstance(context, ClassLabel):
        return None
    return torch.arange(count) % context.classes if name == ANY else torch.full((count,), context.number(name))


def growing(work: Callable[[Progress], Tensor]) -> Generator[Tensor]:
    """What `work` tells of its progress, and then its result; closed before, the work is ended when it next tells."""
    told, closed = SimpleQueue[Tensor | None](), threading.Event()

    def progress(images: Tensor) -> None:
        if closed.is_set():
            raise InterruptedError
        told.put(images)

    with ThreadPoolExecutor(1) as pool:
        try:
            result = pool.submit(work, progress)
            result.add_done_callback(lambda _: told.put(None))
            while (images := told.get()) is not None:
                yield images
            yield result.result()
        finally:
            closed.set()


def opened(path: str) -> Image.Image:
    """An uploaded picture."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height <= DOTS:
                return picture.convert("RGBA")
            why = f"has {picture.width}x{picture.height} dots, more than {DOTS:,}"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        why = "is no picture that can be read"
    raise BadInput(f"{Path(path).name} {why}.")


def levels_of(picture: Image.Image, spec: ImageSpec) -> Tensor:
    """A picture, cut and brought to the size of the images, as levels, (1, C, H, W); what is transparent is black."""
    if not spec.ordinal or spec.channels not in (1, 3):
        raise BadInput(f"A picture is no image {spec}.")
    seen = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture.convert("RGBA"))
    dots = torch.from_numpy(_fitted(seen.convert("RGB" if spec.channels == 3 else "L"), spec).astype(np.int64))
    return ((dots * (spec.levels - 1) + 127) // 255).view(1, spec.height, spec.width, -1).permute(0, 3, 1, 2)


def known_in(drawn: dict[str, Any], spec: ImageSpec) -> Tensor:
    """Which pixels were not brushed with the colour of the unknown, bool, (1, 1, H, W)."""
    known, colour = np.ones((spec.height, spec.width), dtype=bool), np.array(Image.new("RGB", (1, 1), UNKNOWN), int)
    for layer in drawn["layers"]:
        dots = np.array(layer.convert("RGBA"), dtype=int)
        brushed = (abs(dots[..., :3] - colour).max(-1) < NEAR) & (dots[..., 3] > 64)
        known &= _fitted(Image.fromarray((255 * brushed).astype(np.uint8)), spec) < TOUCHED
    return torch.from_numpy(known)[None, None]


def larger(picture: Image.Image) -> Image.Image:
    """A picture enlarged by a whole factor, so that it can be looked at."""
    return ImageOps.scale(picture, max(1, -(-SHOWN // max(picture.size))), Image.Resampling.NEAREST)


def _fitted(picture: Image.Image, spec: ImageSpec) -> Any:
    return np.asarray(ImageOps.fit(picture, (spec.width, spec.height), Image.Resampling.BOX))
