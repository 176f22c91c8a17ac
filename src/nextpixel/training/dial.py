"""One dial: from images and minutes to a recipe. Its rules are from trials on validation images, docs/dial-trials.md.

- Steps matter more than size where minutes are few: of `SIZES` the largest is taken of which enough steps fit. All are
  gated: a PixelCNN++ came no further in the same time, and its samples cost more. Batches are small, for more steps.
- Many levels in order are a mixture of logistics, which knows from the first step that neighbours are alike; but few
  levels, names, and grey images of which one level makes up most, as black does in digits, are categorical.
- Images are given their labels where there are any: that costs next to nothing, and classes can be drawn.
- Few images are learnt by heart, the sooner the more weights there are for each of their sub-pixels: the weights are
  limited, and so are the epochs, over which the learning rate falls to zero; and a run ends when validations get worse.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nextpixel.data import DataSet
from nextpixel.data.dataset import evenly
from nextpixel.errors import BadInput
from nextpixel.model import Model
from nextpixel.models import build
from nextpixel.pairing import context_of, given
from nextpixel.threads import Threads
from nextpixel.training.engine import has_fast_bf16
from nextpixel.training.loop import MARGIN

Timer = Callable[[Model, Tensor, Any], float]
SIZES = ((16, 2), (24, 2), (32, 3), (48, 4), (64, 5), (96, 6), (128, 8), (192, 10))  # filters, blocks
PIXELS, MOST_IMAGES = 8192, 16  # in a batch
LEAST_STEPS, STEPS = 1000, 1800  # of a run; the latter of a minute, and growing with its root
STEPPING = 60 * 0.85  # seconds of a minute that are for steps; others are for validations, samples and files
VALIDATIONS, PATIENCE = 12, 4
FEW_LEVELS, MOST_OF_IMAGES = 32, 2 / 3
MOST_WEIGHTS, DROPOUT = 1.5, 0.2  # weights a sub-pixel
EPOCHS = (20, 60)  # with a weight a sub-pixel, and more with fewer; the latter of many levels, which tell more


def seconds_of_a_step(model: Model, images: Tensor, given: Any) -> float:
    """Take steps, with the better number of threads, until three or a second have passed; seconds of the fastest."""
    model.train()
    taken: list[float] = []
    with Threads("a step of a trial", model.device, laps=1, margin=MARGIN) as threads:
        cold = threads.fixed  # else the threads' trial is the first step
        while threads.trying or len(taken) < 1 + cold or (len(taken) < 3 + cold and sum(taken) < 1):
            began, trying = time.monotonic(), threads.trying
            with torch.autocast(model.device.type, torch.bfloat16, enabled=has_fast_bf16(model.device)):
                loss = -model(images.to(model.device), given).mean()
            loss.backward()
            next(model.parameters()).sum().item()  # until the device is ready
            taken += [] if trying else [time.monotonic() - began]
            threads.lap()
    return min(taken[cold:])


class Choice(NamedTuple):
    """A recipe, with the sections of its file, and lines that say what was chosen and what takes more time."""

    recipe: dict[str, dict[str, Any]]
    lines: list[str]


def choose(
    data: DataSet, minutes: int | float, *, seed: int = 0, device: str = "cpu", speed: Timer = seconds_of_a_step
) -> Choice:
    """Choose a recipe that makes the most of some minutes with the data, by timing steps of each size that might do.

    Args:
        minutes: of the run, validations and samples included.
        speed: tells the seconds of a model's step on images and what is given; the same ones make the same choice.
    """
    spec, count, classes = data.spec, len(data.train), data.classes or 1
    if not 0 < minutes < math.inf:
        raise BadInput(f"The minutes must be a number above 0, not {minutes}.")
    if count == 0:
        raise BadInput(f"{data.name} has no train images.")
    batch = min(count, 2 ** round(math.log2(min(MOST_IMAGES, max(1, PIXELS * spec.channels / spec.subpixels)))))
    images, _ = data.train.batch(first := np.arange(batch), np.random.default_rng(seed))
    likelihood, why = _likelihood(data)
    room, enough = STEPPING * minutes, max(LEAST_STEPS, STEPS * math.sqrt(minutes))
    tried: list[tuple[dict[str, Any], int, float]] = []  # the model, its weights, seconds of a step
    for size in SIZES:
        section = _section(data, likelihood, *size)
        candidate = build_section(section, data, seed=seed).to(device)
        weights = sum(parameter.numel() for parameter in candidate.parameters())
        if tried and weights > MOST_WEIGHTS * count * spec.subpixels:
            break
        tried.append((section, weights, speed(candidate, images, given(candidate.context, data.train, first))))
        if room < enough * tried[-1][2]:
            break
    larger, _, took = tried[-1]
    model, weights, seconds = tried[-2:][0] if room < enough * took else tried[-1]
    per_epoch, most = max(1, count // batch), EPOCHS[likelihood == "logistic_mixture"]
    epochs = math.ceil(max(most * count * spec.subpixels / weights, LEAST_STEPS / per_epoch))
    steps = min(max(1, int(room / seconds)), epochs * per_epoch)
    rate = float(f"{0.005 * min(1.0, math.sqrt(32 / model['filters'])):.2g}")
    lines = [
        f"gated_pixelcnn: {model['filters']} filters x {model['blocks']} blocks, {weights:,} weights; "
        f"likelihood {likelihood} ({why}); context {model['context']}",
        f"about {steps:,} steps of {batch} images, {steps / per_epoch:.3g} epochs, {1 / seconds:.3g} steps a second; "
        f"learning rate {rate}, after a warm-up of 5 %",
    ]
    if near := 2 * steps > epochs * per_epoch:
        model["dropout"] = DROPOUT
        lines.append(f"few images: dropout {DROPOUT}, at most {epochs:,} epochs, an end when validations get worse")
    if room < enough * took:
        least = max(LEAST_STEPS * took, (STEPS * took) ** 2 / STEPPING) / STEPPING
        size = f"not in this time: {larger['filters']} filters x {larger['blocks']} blocks,"
        few = "few steps even for the smallest network; enough in"
        lines.append(f"{few if larger is model else size} {max(math.ceil(least), math.floor(minutes) + 1):,} minutes")
    watched = int(0.05 * room * batch / (VALIDATIONS * seconds / 3))  # without gradients, a third of a step
    training = {
        "epochs": epochs,
        "max_minutes": float(minutes),
        "batch": batch,
        "learning_rate": rate,
        "gradient_clip": float(f"{spec.subpixels * math.log(spec.levels) / 5:.2g}"),
        "validate_every": float(f"{max(1.0, steps / VALIDATIONS) / per_epoch:.3g}"),
        "validation_images": None if watched >= len(data.validation) else max(32, watched),
        "patience": PATIENCE if near else None,
        "samples": classes * -(-16 // classes) if classes <= 32 else 16,
        "seed": seed,
    }
    return Choice({"model": model, "data": {"name": data.name}, "training": training}, lines)


def build_section(section: Mapping[str, Any], data: DataSet, *, seed: int) -> Model:
    """The model of a recipe's section `model`, for images of a data set, with the first weights of a seed."""
    rest = dict(section)
    name, likelihood, context = (rest.pop(key) for key in ("name", "likelihood", "context"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(name, data.spec, likelihood, context_of(context, data), **rest)


def _section(data: DataSet, likelihood: str, filters: int, blocks: int) -> dict[str, Any]:
    least = 1 if likelihood == "logistic_mixture" else data.spec.channels  # features, one a colour
    return {
        "name": "gated_pixelcnn",
        "likelihood": likelihood,
        **({"mixtures": 5 if filters <= 48 else 10} if likelihood == "logistic_mixture" else {}),
        "context": "none" if data.classes is None else "label",
        "filters": max(filters, least),
        "blocks": blocks,
        "head": max(64 if data.spec.levels > FEW_LEVELS else 32, filters, least),
        "coordinates": True,
    }


def _likelihood(data: DataSet) -> tuple[str, str]:
    """Its name, and why."""
    if data.spec.levels == 2 or not data.spec.ordinal:
        return "bernoulli" if data.spec.levels == 2 else "categorical", f"{data.spec.levels:,} levels"
    images, _ = data.train.batch(evenly(len(data.train), 512), np.random.default_rng(0))
    levels, counts = np.unique(images.numpy(), return_counts=True)
    if len(levels) <= FEW_LEVELS:
        return "categorical", f"{len(levels)} levels seen"
    if data.spec.channels == 1 and data.spec.levels <= 256 and counts.max() > MOST_OF_IMAGES * counts.sum():
        return "categorical", f"{counts.max() / counts.sum():.0%} of all sub-pixels have one level"
    return "logistic_mixture", f"{data.spec.levels:,} levels in order"
