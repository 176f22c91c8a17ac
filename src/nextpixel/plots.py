"""Pictures with axes and titles: what a model sees, how a run went."""

import copy
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nextpixel import pictures
from nextpixel.autoregressive import Autoregressive
from nextpixel.data import Split
from nextpixel.errors import BadInput, needs
from nextpixel.model import Model, in_float64
from nextpixel.nn.context import ClassLabel
from nextpixel.nn.embedding import Named
from nextpixel.pairing import given

Over = Literal["epoch", "step", "minutes"]

FAINTEST = 1e-6  # of the largest gradient: what is fainter has the colour of this
LATER, BLIND, PIXEL = (0.93, 0.93, 0.93), (1.0, 0.75, 0.55), "red"


def receptive_field(
    model: Autoregressive,
    row: int,
    column: int,
    channel: int | None = None,
    *,
    images: int = 4,
    seed: int = 0,
    order: int = 0,
    watch: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Tensor:
    """What a pixel's sub-pixels see, by the gradient of their log-probabilities with respect to levels.

    The gradient is that of a random mix of a sub-pixel's log-probabilities, one a level, its absolute value averaged
    over images of random levels. Where levels are names, all features of a name move with the level. It is computed in
    float64, and is exactly 0 where nothing leads from a level to them.

    Args:
        model: any exact model; it is left as it is. One with a context is given an arbitrary one.
        row, column, channel: of the pixel, from 0 at the top left; None for all channels.
        images: how many; a rectifier may be shut on one image, and hardly on all.
        seed: of their levels and of the mix.
        order: in which a model of several reads; places are those of the turned image.
        watch: goes through the images, for a progress bar.

    Returns:
        Shape (C_out, C_in, H, W): the gradient of channel C_out, or the one asked for, by levels of channel C_in.

    Raises:
        BadInput: a pixel outside of the image, or a channel that it does not have.

    Example:
        >>> model = npx.build("gated_pixelcnn", npx.ImageSpec(3, 6, 6, levels=4), filters=6, blocks=2)
        >>> receptive_field(model, 3, 3).shape
        torch.Size([3, 3, 6, 6])
    """
    if model.tables is not None:
        raise BadInput("What is seen is told by gradients, which whole numbers have not; ask the twin's float model.")
    channels, (_, height, width) = _channels(model, channel), model.spec.shape
    if not (0 <= row < height and 0 <= column < width):
        raise BadInput(f"The pixel {row},{column} is outside of the image: it has {height} rows of {width}, from 0.")
    # There is no float64 on mps. Weights that need a gradient give one, of zero, to parameters that see nothing.
    where = torch.device("cpu") if model.device.type == "mps" else model.device
    exact = copy.deepcopy(model).to(where, torch.float64).eval().requires_grad_()
    generator = torch.Generator().manual_seed(seed)
    field = torch.zeros(len(channels), *model.spec.shape, dtype=torch.float64)
    if isinstance(exact.backbone.entry, Named):
        exact.backbone.entry.register_forward_hook(_moved)
    with torch.enable_grad():
        for image in watch(range(images)):  # one at a time: a deep network keeps much of each for its gradient
            drawn = torch.randint(model.spec.levels, (1, *model.spec.shape), generator=generator)
            levels = drawn.to(where, torch.float64).requires_grad_()
            some = None
            if model.context is not None:  # a class, or any features: what is seen does not depend on it
                some = torch.eye(model.context.features)[image % model.context.features, :, None, None][None].to(levels)
            told = exact.reading.told(some, exact.reading.check(order, 1))
            with in_float64(model):
                parameters = exact.backbone(levels, told)[:, :, row, column]
            nats = exact.likelihood.distribution(parameters, levels[:, :, row, column]).log_pmf()[0]
            mix = torch.randn(nats.shape, generator=generator, dtype=torch.float64).to(where)
            for place, which in enumerate(channels):
                mixed = (nats[which] * mix[which]).sum()
                (gradient,) = torch.autograd.grad(mixed, levels, retain_graph=True, materialize_grads=True)
                field[place] += gradient[0].abs().cpu() / images
    return field


def ranks(model: Autoregressive) -> Tensor:
    """Of two sub-pixels that of the lower rank is drawn first, and those of one rank at once; int64, (C, H, W)."""
    channels, height, width = model.spec.shape
    places = torch.arange(model.spec.subpixels).view(height, width, channels)
    return places.permute(2, 0, 1) // model.backbone.together


def earlier(model: Autoregressive, row: int, column: int, channel: int) -> Tensor:
    """Which sub-pixels come before one in the order of drawing, and may be seen by it: bool, shape (C, H, W)."""
    return ranks(model) < ranks(model)[channel, row, column]


def describe_receptive_field(
    model: Autoregressive, field: Tensor, row: int, column: int, channel: int | None = None
) -> list[str]:
    """Tell what `receptive_field` found, in a line for each channel."""
    lines = []
    for sight, which in zip(field > 0, _channels(model, channel), strict=True):
        before = earlier(model, row, column, which)
        subject = f"Pixel {row},{column}" + (f", {channel_name(model, which)}," if model.spec.channels > 1 else "")
        lines.append(f"{subject} sees {(sight & before).sum():,} of {before.sum():,} earlier sub-pixels")
        if (sight & ~before).any():
            lines[-1] += f", and {(sight & ~before).sum():,} that it must not see"
    return lines


def draw_receptive_field(
    model: Autoregressive, field: Tensor, row: int, column: int, channel: int | None = None
) -> Image.Image:
    """Draw what `receptive_field` found: a panel for each pair of channels, the pixel itself in a red frame.

    The colour is the logarithm of the gradient. Earlier sub-pixels that are not seen are orange, later ones grey.
    """
    channels = _channels(model, channel)
    height, width = field.shape[2:]
    side = max(5.0 / field.shape[1] ** 0.5, 2.2) / max(height, width)  # inches of a pixel: fewer where panels are many
    panel_width, panel_height = max(side * width, 1.0), max(side * height, 1.0)  # a thin image's is not much thinner
    size = (field.shape[1] * panel_width + 1.3, len(channels) * panel_height + 1.0 + 0.2 * len(channels))
    figure = _figure("plot receptive-field", *size)
    from matplotlib.colors import LogNorm  # after the figure, which says so where matplotlib is missing
    from matplotlib.patches import Patch, Rectangle

    grid = figure.subplots(len(channels), field.shape[1], squeeze=False, sharex=True, sharey=True)
    most = float(field.max())
    shades = LogNorm(vmin=most * FAINTEST, vmax=most, clip=True) if most > 0 else None
    for (place, source), axes in np.ndenumerate(grid):
        before = earlier(model, row, column, channels[place])[source].numpy()
        axes.imshow(np.where(before[..., None], BLIND, LATER), interpolation="nearest")
        gradient = field[place, source].numpy()
        shown = axes.imshow(np.ma.masked_equal(gradient, 0.0), norm=shades, cmap="viridis", interpolation="nearest")
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=PIXEL, linewidth=2))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True)
        if model.spec.channels > 1 and place == 0:
            axes.set_title(f"sees {channel_name(model, source)}", fontsize=10)
        if model.spec.channels > 1 and source == 0:
            axes.set_ylabel(channel_name(model, channels[place]))
        if most > 0 and (place, source) == (0, 0):
            figure.colorbar(shown, ax=grid, label="mean absolute gradient", shrink=0.8)
    figure.suptitle("\n".join(describe_receptive_field(model, field, row, column, channel)), fontsize=11)
    keys = [Patch(color=BLIND, label="earlier, not seen"), Patch(color=LATER, label="later")]
    figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return _picture(figure)


@dataclass(frozen=True)
class Curves:
    """The metrics of a run, a value for each validation."""

    run: str  # the folder, as it was named
    over: NDArray[np.float64]  # epochs, steps or minutes
    train: NDArray[np.float64]  # bits per dimension
    validation: NDArray[np.float64]


def read_curves(run: Path, over: Over = "epoch") -> Curves:
    """Read metrics.csv of a run folder, where `over` is the column that becomes the horizontal axis."""
    path = run / "metrics.csv"
    if not path.is_file():
        raise BadInput(f"The run {run} has no metrics: there is no {path}.")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = (over, "train_nats", "validation_nats", "validation_bits_per_dim")
        places, train, nats, bits = columns = np.array([[float(row[name]) for row in rows] for name in names])
        if not rows or not np.isfinite(columns).all():
            raise ValueError("there are no rows, or a number is not finite")
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise BadInput(f"{path} does not hold the metrics of a run, from its first validation on.") from error
    # Every row has the same bits per dimension for a nat per image; their sums round least.
    return Curves(str(run), places, train * (bits.sum() / nats.sum()), bits)


def draw_curves(runs: Sequence[Curves], over: Over = "epoch") -> Image.Image:
    """Draw the training and validation curves of runs, a colour a run; `over` is what `read_curves` was told."""
    figure = _figure("plot curves", 8.0, 5.0)
    axes = figure.subplots()
    marker = "." if max(len(run.over) for run in runs) <= 50 else ""
    unit = over.removesuffix("s")
    for number, run in enumerate(runs):
        colour = f"C{number % 10}"
        axes.plot(run.over, run.train, color=colour, linestyle="--", marker=marker, alpha=0.6)
        best = run.validation.argmin()
        label = f"{run.run}: {run.validation[best]:.4f} at {unit} {run.over[best]:,.6g}"
        axes.plot(run.over, run.validation, color=colour, marker=marker, label=label)
    axes.plot([], [], color="grey", linestyle="--", label="training")
    axes.set(xlabel=f"{unit}s", ylabel="bits per dimension")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, title="validation, and its lowest value")
    return _picture(figure)


def samples(model: Model, split: Split, count: int, *, seed: int) -> Image.Image:
    """Draw about so many samples of a model, uncurated.

    Classes alone have a row each; maps are those of the first images of the split, with their classes if need be.
    """
    context, names = model.context, list[str]()
    if isinstance(context, ClassLabel):
        names = [context.name(label) for label in range(min(context.classes, count))]
        chosen = torch.arange(len(names)).repeat_interleave(count // len(names))
        count = len(chosen)
    else:
        count = count if context is None else min(count, len(split))
        chosen = given(context, split, np.arange(count))
    images = model.sample(count, chosen, seed=seed)
    return pictures.by_class(images, names, model.spec.levels, ordinal=model.spec.ordinal)


def _moved(named: Named, given: tuple[Any, ...], made: Tensor) -> Tensor:
    """Vectors of names with a gradient with respect to levels: as if all features moved with the level."""
    return made + (given[0] - given[0].detach()).repeat_interleave(named.features, 1)


def _channels(model: Autoregressive, channel: int | None) -> list[int]:
    channels = model.spec.channels
    if channel is not None and not 0 <= channel < channels:
        raise BadInput(f"The images have channels from 0 to {channels - 1}, not {channel}.")
    return list(range(channels)) if channel is None else [channel]


def channel_name(model: Autoregressive, channel: int) -> str:
    """What a channel is called: a colour of three, or its number."""
    return ("red", "green", "blue")[channel] if model.spec.channels == 3 else f"channel {channel}"


def _figure(what: str, width: float, height: float) -> Any:
    """An empty figure of so many inches, which no global state knows of."""
    with needs("matplotlib", "plots", what):
        from matplotlib.figure import Figure  # here, because it takes a second, and is an extra

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _picture(figure: Any) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
