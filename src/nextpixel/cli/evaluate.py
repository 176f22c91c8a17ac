"""`nextpixel evaluate`: the likelihood of a data set's images."""

import math
import time
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

import nextpixel as npx
from nextpixel import processes
from nextpixel.cli import common
from nextpixel.data import Split
from nextpixel.evaluation import Bounds, Evaluation, baselines, compared, evaluate, evaluate_bounds

LATENT_SAMPLES = 16  # of z, where nobody says how many


def main(options: Namespace) -> None:
    """Print the mean of −log p(x), in nats per image and bits per dimension, with its standard error."""
    table = None if options.per_image is None else common.place(options.per_image, ".csv", ".npz")
    model = common.load(options)
    name, split, notes, train = common.images_of(model, options)
    began = time.monotonic()
    if options.without_classes and not isinstance(model.context, npx.ClassLabel):
        raise npx.BadInput("--without-classes is for models of classes; this one is given none.")
    settings = {"images": options.images, "seed": options.seed, "samples": options.samples}
    result = measured(model, split, **settings, classes=not options.without_classes)
    seconds = time.monotonic() - began
    common.tell(notes)
    beside = baselines(model.spec, train, split, images=options.images)
    if table is not None and processes.rank() == 0:
        common.write_arrays(table, **_columns(result, split, model.spec))
    if options.json:
        about = {"model": str(options.model), "data": name, "split": options.split}
        about |= {"classes": False} if options.without_classes else {}
        common.print_json({**about, **as_json(result), "baselines": beside, "seconds": round(seconds, 2)})
    else:
        total = result.elbo if isinstance(result, Bounds) else result
        print(f"{name}, {options.split}, {common.several(total.images, 'image')} in {seconds:.1f} s")
        print("\n".join(_lines(result)))
        print(f"  beside it, bits per dimension: {compared(total.bits_per_dim, beside)}")


def measured(
    model: npx.Model,
    split: Split,
    *,
    images: int | None,
    seed: int = 0,
    samples: int | None = None,
    classes: bool = True,
) -> Evaluation | Bounds:
    """What a model's likelihood of a split's images is, or its bounds, by so many samples of z."""
    watch = partial(common.with_bar, doing="evaluating")
    settings = {"images": images, "batch": common.BATCH, "seed": seed, "watch": watch}
    if isinstance(model, npx.PixelVAE):
        return evaluate_bounds(model, split, samples=LATENT_SAMPLES if samples is None else samples, **settings)
    if samples is not None:
        raise npx.BadInput(f"--samples {samples} is for bounds, but the likelihood of this model is exact.")
    return evaluate(model, split, classes=classes, **settings)


def as_json(result: Evaluation | Bounds) -> dict[str, Any]:
    """The figures without those of each image, and a NaN, which JSON has not, as None."""

    def kept(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: None if value != value else value for name, value in items if name != "each" and value != ()}

    return asdict(result, dict_factory=kept)


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
        lines = [
            f"  {result.nats:10.4f}{common.plus_minus(result.nats_error)} nats per image",
            f"  {result.bits_per_dim:10.4f}{common.plus_minus(result.bits_per_dim_error)} bits per dimension",
        ]
        if result.orders:
            number, best = min(enumerate(result.orders), key=lambda order: order[1].nats)
            nats, error = ", ".join(f"{each.nats:.4f}" for each in result.orders), common.plus_minus(best.nats_error)
            count = len(result.orders)
            lines += [
                f"  That is the mixture of {count} reading orders, which alone are {nats} nats per image;",
                f"  the best single one is order {number}: {best.nats:.4f}{error}.",
            ]
        return lines
    rows = {"ELBO": result.elbo, "  reconstruction": result.reconstruction, "  KL": result.kl}
    if result.importance is not None:
        rows[f"importance-weighted, k = {result.samples}"] = result.importance
    share = 100 * result.kl.nats / result.elbo.nats
    lines = [
        f"  {name:<30}{its.nats:10.4f}{common.plus_minus(its.nats_error)} nats per image,"
        f"{its.bits_per_dim:8.4f}{common.plus_minus(its.bits_per_dim_error)} bits per dimension"
        for name, its in rows.items()
    ]
    return ["  upper bounds of the cost −log p(x):", *lines, f"  The KL is {share:.1f} % of the ELBO."]
