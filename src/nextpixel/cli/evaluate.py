"""`nextpixel evaluate`: the likelihood of a data set's images."""

import math
import time
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch

import nextpixel as npx
from nextpixel import processes
from nextpixel.baselines import baselines, compared
from nextpixel.checks import difference, stepwise_log_prob
from nextpixel.cli.common import (
    BATCH,
    exact,
    images_of,
    load,
    pieces,
    place,
    plus_minus,
    print_json,
    several,
    tell,
    with_bar,
    write_arrays,
)
from nextpixel.cli.parsers import LATENT_SAMPLES, SLOW_IMAGES
from nextpixel.data import Split
from nextpixel.evaluation import Bounds, Evaluation, evaluate, evaluate_bounds
from nextpixel.pairing import given

TOLERANCE = 1e-3  # nats a sub-pixel: float32 sums in another order differ by less, a leak by far more


def main(options: Namespace) -> int:
    """Print the mean of −log p(x), in nats per image and bits per dimension, with its standard error.

    Returns:
        The exit status: 1 if the model fails the check that --slow asks for.
    """
    table = None if options.per_image is None else place(options.per_image, ".csv", ".npz")
    model = load(options)
    name, split, notes, train = images_of(model, options)
    began = time.monotonic()
    watch = partial(with_bar, doing="evaluating")
    settings = {"images": options.images, "batch": BATCH, "seed": options.seed, "watch": watch}
    if isinstance(model, npx.PixelVAE):
        samples = LATENT_SAMPLES if options.samples is None else options.samples
        result = evaluate_bounds(model, split, samples=samples, **settings)
    elif options.samples is not None:
        raise npx.BadInput(f"--samples {options.samples} is for bounds, but the likelihood of this model is exact.")
    else:
        result = evaluate(model, split, **settings)
    seconds = time.monotonic() - began
    stepwise = _stepwise(model, split, options.images or SLOW_IMAGES, seed=options.seed) if options.slow else None
    tell(notes)
    beside = baselines(model.spec, train, split, images=options.images)
    if table is not None and processes.rank() == 0:
        write_arrays(table, **_columns(result, split, model.spec))
    if options.json:
        about = {"model": str(options.model), "data": name, "split": options.split}
        slow = {} if stepwise is None else {"stepwise": stepwise}
        figures = asdict(
            result, dict_factory=lambda items: {name: value for name, value in items if name != "each" and value != ()}
        )
        print_json({**about, **figures, "baselines": beside, "seconds": round(seconds, 2), **slow})
    else:
        total = result.elbo if isinstance(result, Bounds) else result
        print(f"{name}, {options.split}, {several(total.images, 'image')} in {seconds:.1f} s")
        print("\n".join(_lines(result)))
        print(f"  beside it, bits per dimension: {compared(total.bits_per_dim, beside)}")
        if stepwise is not None:
            print(_verdict(**stepwise))
    return 0 if stepwise is None or stepwise["agrees"] else 1


def _columns(result: Evaluation | Bounds, split: Split, spec: npx.ImageSpec) -> dict[str, np.ndarray | None]:
    """What was measured of each image: costs like −log p(x)."""
    parts = vars(result).items()
    named = {"": result} if isinstance(result, Evaluation) else {f"{name}_": part for name, part in parts}
    nats = {f"{name}nats": part.each.numpy() for name, part in named.items() if isinstance(part, Evaluation)}
    bits = {name.replace("nats", "bits_per_dim"): each / (spec.subpixels * math.log(2)) for name, each in nats.items()}
    index = np.arange(len(next(iter(nats.values()))))
    return {"index": index, "label": None if split.labels is None else split.labels[index], **nats, **bits}


def _lines(result: Evaluation | Bounds) -> list[str]:
    """What was measured, in words."""
    if isinstance(result, Evaluation):
        return [
            f"  {result.nats:10.4f}{plus_minus(result.nats_error)} nats per image",
            f"  {result.bits_per_dim:10.4f}{plus_minus(result.bits_per_dim_error)} bits per dimension",
            *_by_order(result),
        ]
    rows = {"ELBO": result.elbo, "  reconstruction": result.reconstruction, "  KL": result.kl}
    if result.importance is not None:
        rows[f"importance-weighted, k = {result.samples}"] = result.importance
    share = 100 * result.kl.nats / result.elbo.nats
    lines = [
        f"  {name:<30}{its.nats:10.4f}{plus_minus(its.nats_error)} nats per image,"
        f"{its.bits_per_dim:8.4f}{plus_minus(its.bits_per_dim_error)} bits per dimension"
        for name, its in rows.items()
    ]
    return ["  upper bounds of the cost −log p(x):", *lines, f"  The KL is {share:.1f} % of the ELBO."]


def _by_order(result: Evaluation) -> list[str]:
    """What the mixture is made of."""
    if not result.orders:
        return []
    number, best = min(enumerate(result.orders), key=lambda order: order[1].nats)
    nats = ", ".join(f"{each.nats:.4f}" for each in result.orders)
    return [
        f"  That is the mixture of {len(result.orders)} reading orders, which alone are {nats} nats per image;",
        f"  the best single one is order {number}: {best.nats:.4f}{plus_minus(best.nats_error)}.",
    ]


def _stepwise(model: npx.Model, split: Split, images: int, *, seed: int) -> dict[str, Any]:
    """Compare the likelihood of a split's first images with that of sub-pixels predicted one after the other.

    Of a pixelvae, its decoder's, given z. The difference is the largest absolute one, in nats a sub-pixel.
    """
    indices = np.arange(min(images, len(split)))
    x, _ = split.batch(indices, np.random.default_rng(seed))
    bounded = model if isinstance(model, npx.PixelVAE) else None
    stepped = exact(model, "--slow") if bounded is None else bounded.decoder
    differences = []
    with torch.no_grad():
        for piece in with_bar(pieces(len(x)), "sub-pixel by sub-pixel"):
            beside = given(model.context, split, indices[piece])
            context = beside if bounded is None else bounded.posterior(x[piece]).mean
            whole_image = stepped.predict(x[piece], context).log_prob(x[piece].to(model.device))
            one_by_one = stepwise_log_prob(stepped, x[piece], context)
            differences.append(difference(whole_image, one_by_one).max())
    largest = float(torch.stack(differences).max())
    agrees = largest <= TOLERANCE
    return {"images": len(x), "difference": largest, "tolerance": TOLERANCE, "agrees": agrees}


def _verdict(images: int, difference: float, tolerance: float, agrees: bool) -> str:
    meaning = ": this model sees what it predicts, or its step is not its forward; its likelihood means nothing."
    if agrees:
        meaning = ", as where no sub-pixel sees itself or what follows."
    return (
        f"Sub-pixel by sub-pixel, {several(images, 'image')}: the log-likelihood of a sub-pixel differs by up to "
        f"{difference:.2g} nats, {'within' if agrees else 'above'} the tolerance of {tolerance:g}{meaning}"
    )
