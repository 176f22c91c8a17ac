"""What the tabs of the app do, without the page: pictures in, pictures and sentences out, all of it bounded."""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nextpixel import pictures, plots
from nextpixel.autoregressive import Autoregressive
from nextpixel.baselines import formats, lossless
from nextpixel.checkpoint import load, save
from nextpixel.codec import compress
from nextpixel.errors import BadInput, whole
from nextpixel.integers import exact, refusal
from nextpixel.model import Model
from nextpixel.nn.context import ClassLabel
from nextpixel.scores import score
from nextpixel.spec import ImageSpec
from nextpixel.unroll import Progress

ANY = "any"  # class
MOST, COMPLETIONS, CALIBRATING = 64, 4, 64  # images at once; of each picture; those that a twin is made with
LARGEST, DOTS = 2**16, 2**24  # sub-pixels of a model's images; dots of an upload
SHOWN = 420  # dots that a picture on the page has at least
UNKNOWN = "#ff3fa4"  # the colour to brush with over what shall be drawn
NAMED = 16  # levels that have a place each in a plot
NEAR, TOUCHED = 60, 26  # how far from that colour still is it; how much of a pixel, of 255, it has to cover


class Models:
    """The models that the page offers by name; those used last are kept, and nothing else is shared by users."""

    def __init__(self, places: dict[str, Path], device: torch.device) -> None:
        self.places, self.device = places, device
        self.get, self.twin = lru_cache(8)(self._loaded), lru_cache(8)(self._twin)

    def _loaded(self, name: str) -> Model:
        if name not in self.places:
            raise BadInput(f"There is no model {name!r} here; there are {', '.join(self.places)}.")
        model = load(self.places[name], device=self.device)
        if model.spec.subpixels > LARGEST or not isinstance(model.context, ClassLabel | None):
            about = f"{model.spec}{'' if model.context is None else f', given {model.context}'}"
            limits = f"at most {LARGEST:,} sub-pixels, given a class or nothing"
            raise BadInput(f"The app is for images of {limits}; those of {name} are {about}.")
        return model

    def _twin(self, name: str) -> Autoregressive:
        model = self.get(name)
        if isinstance(model, Autoregressive) and model.tables is not None:
            return model
        which = labels(model, ANY, CALIBRATING)
        return exact(model, torch.empty(0) if refusal(model) else model.sample(CALIBRATING, which), which)


def bounded(count: object) -> int:
    """A number of images that are made at once."""
    number = whole(count, "The number of images", least=1)
    if number > MOST:
        raise BadInput(f"At most {MOST} images at once, not {number}.")
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


def sampled(
    model: Model, count: object, name: str, *, seed: int, temperature: float
) -> Generator[Image.Image, None, None]:
    """A picture of new images, after each row of them; closing the generator ends the work at the next row."""
    number = bounded(count)

    def draw(progress: Progress) -> Tensor:
        more = {"progress": progress} if isinstance(model, Autoregressive) else {}
        return model.sample(number, labels(model, name, number), seed=seed, temperature=temperature, **more)

    for images in growing(draw):
        yield larger(pictures.grid(images, model.spec.levels, ordinal=model.spec.ordinal))


def growing(work: Callable[[Progress], Tensor]) -> Generator[Tensor, None, None]:
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


def opened(path: str | Path) -> Image.Image:
    """An uploaded picture."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > DOTS:
                raise BadInput(f"{Path(path).name} has {picture.width}x{picture.height} dots; the most is {DOTS:,}.")
            return picture.convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{Path(path).name} is no picture that can be read.") from error


def levels_of(picture: Image.Image, spec: ImageSpec) -> Tensor:
    """A picture, cut and brought to the size of the images, as levels, (1, C, H, W); what is transparent is black."""
    if not spec.ordinal or spec.channels not in (1, 3):
        raise BadInput(f"A picture is no image {spec}{'' if spec.ordinal else ', which are names'}.")
    seen = Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture.convert("RGBA"))
    dots = np.asarray(_fitted(seen.convert("RGB" if spec.channels == 3 else "L"), spec), dtype=np.int64)
    levels = (dots * (spec.levels - 1) + 127) // 255
    return torch.from_numpy(levels.reshape(1, spec.height, spec.width, spec.channels)).permute(0, 3, 1, 2)


def unknown_of(layers: Sequence[Image.Image], spec: ImageSpec) -> Tensor:
    """Which pixels were brushed with the colour of the unknown, bool, (1, 1, H, W)."""
    unknown = torch.zeros(1, 1, spec.height, spec.width, dtype=torch.bool)
    colour = np.array(Image.new("RGB", (1, 1), UNKNOWN), dtype=int)
    for layer in layers:
        dots = np.asarray(layer.convert("RGBA"), dtype=int)
        brushed = (abs(dots[..., :3] - colour).max(-1) < NEAR) & (dots[..., 3] > 64)
        covered = np.asarray(_fitted(Image.fromarray((255 * brushed).astype(np.uint8)), spec))
        unknown |= torch.from_numpy(covered >= TOUCHED)
    return unknown


def completed(
    model: Model, given: Tensor, unknown: Tensor, name: str, *, particles: int, seed: int, temperature: float
) -> tuple[Image.Image, str]:
    """The picture, its completions beside it, and what was done. Of any class, it is drawn by how likely all are."""
    if not bool(unknown.any()):
        raise BadInput("Nothing is brushed away: paint in pink over what shall be drawn.")
    spec, every, more = model.spec, given.expand(COMPLETIONS, -1, -1, -1), {}
    known, said = (~unknown).expand(COMPLETIONS, -1, -1, -1), f"{100 * (~unknown).float().mean():.0f} % are known"
    which = labels(model, name, COMPLETIONS)
    if isinstance(model, Autoregressive):
        more = {"particles": whole(particles, "The number of particles", least=1)}
        said += f"; {particles} particles each; {_orders(model)}"
        if name == ANY and (count := len(classes(model))):
            x, marks = given.expand(count, -1, -1, -1), known[:1].expand(count, -1, -1, -1)
            settings = {"particles": 4, "seed": seed, "temperature": temperature}
            odds = model.completion(x, marks, torch.arange(count), **settings).evidence.softmax(0)
            which = torch.multinomial(odds.cpu(), COMPLETIONS, True, generator=torch.Generator().manual_seed(seed))
    if which is not None:
        said += f"; classes {', '.join(classes(model)[label] for label in which)}"
    made = model.complete(every, known, which, seed=seed, temperature=temperature, **more)
    sheet = pictures.completions(given, ~unknown, made, spec.levels, ordinal=spec.ordinal)
    return larger(sheet), f"{said}."


class Seen(NamedTuple):
    """An image that is looked into: all that a click on it needs."""

    model: str
    levels: Tensor  # (1, C, H, W)
    label: Tensor | None
    size: tuple[int, int]  # of its picture, in dots

    def place(self, x: int, y: int) -> tuple[int, int]:
        """Row and column of a dot of its picture, in which channels may stand side by side."""
        height, width = self.levels.shape[2:]
        return y * height // self.size[1], x * round(height * self.size[0] / self.size[1]) // self.size[0] % width


def looked(models: Models, model: str, levels: Tensor, name: str) -> tuple[Seen, Image.Image, Image.Image, str]:
    """The image, what its pixels cost, and in words. Of any class, it is looked at as of the one that makes it likeliest."""
    own = models.get(model)
    spec, label = own.spec, labels(own, name, 1)
    if label is not None and name == ANY:
        count = len(classes(own))
        with torch.no_grad():
            label = own.log_prob(levels.expand(count, -1, -1, -1), torch.arange(count)).argmax().cpu()[None]
    found = score(own, levels, label)
    most = max(float(np.quantile(found.bits.sum(1), 0.99)), 0.01)
    sheet = pictures.costs(levels, found.bits, spec.levels, most=most, ordinal=spec.ordinal)
    said = f"{float(found.bits_per_dim):.4f} bits a sub-pixel; a pixel costs 0 (black) to {most:.2g} bits (pale yellow)"
    said += "" if label is None else f"; class {classes(own)[int(label)]}"
    middle = (sheet.width - pictures.BETWEEN) // 2
    left, right = (larger(sheet.crop((x, 0, x + middle, sheet.height))) for x in (0, sheet.width - middle))
    return Seen(model, levels, label, left.size), left, right, f"{said}. Click a pixel."


def pixel(models: Models, seen: Seen, row: int, column: int) -> tuple[Image.Image, dict[str, NDArray[np.generic]], str]:
    """What a pixel sees, the probabilities of its levels, as columns of a table, and what it is."""
    own = models.get(seen.model)
    if not isinstance(own, Autoregressive):
        raise BadInput(f"A {own.recipe['name']} predicts no pixel from those before it.")
    field = plots.receptive_field(own, row, column)
    with torch.no_grad():
        pmf = own.predict(seen.levels, seen.label, order=0).pmf()[0, :, row, column].cpu().double().numpy()
    channels, count = pmf.shape
    names = np.array(["red", "green", "blue"] if channels == 3 else [f"channel {its}" for its in range(channels)])
    table = {
        "level": np.tile(np.arange(count).astype(str if count <= NAMED else int), channels),
        "probability": pmf.ravel(),
        "channel": names.repeat(count),
    }
    levels = seen.levels[0, :, row, column].tolist()
    bits = [-np.log2(max(its[level], 1e-300)) for its, level in zip(pmf, levels, strict=True)]
    each = ", ".join(f"level {level} costs {cost:.3g} bits" for level, cost in zip(levels, bits, strict=True))
    return plots.draw_receptive_field(own, field, row, column), table, f"Row {row}, column {column}: {each}."


def compressed(models: Models, name: str, images: Tensor, folder: Path) -> tuple[list[list[object]], list[str], str]:
    """What images take, ours beside others', a row each; the files to take away; and what was verified."""
    model = models.twin(name)
    made = compress(model, images)  # decodes it again, and refuses where that gives other images
    Image.init()
    kinds = [*formats(model.spec), *(["JXL"] if "JXL" in Image.SAVE else [])]
    sizes = {"nextpixel": len(made)}
    for kind in kinds:
        sizes["JPEG XL" if kind == "JXL" else kind] = lossless(images.numpy(), model.spec, kind)
    rows: list[list[object]] = [[kind, size, round(8 * size / images.numel(), 4)] for kind, size in sizes.items()]
    container, exact_twin = folder / "images.npxc", folder / "exact.safetensors"
    container.write_bytes(made)
    save(model, exact_twin)
    said = f"{len(images)} images, decoded again: the same. nextpixel decompress takes both files."
    return rows, [str(container), str(exact_twin)], said


def larger(picture: Image.Image) -> Image.Image:
    """A picture enlarged by a whole factor, so that it can be looked at."""
    factor = max(1, -(-SHOWN // max(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _fitted(picture: Image.Image, spec: ImageSpec) -> Image.Image:
    return ImageOps.fit(picture, (spec.width, spec.height), Image.Resampling.BOX)


def _orders(model: Autoregressive) -> str:
    if model.orders == 1:
        return "read from the top"
    return f"read in that of {model.orders} orders in which least of what is known comes late"
