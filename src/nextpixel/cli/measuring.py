"""`nextpixel evaluate`, `check` and `score`: likelihoods, the laws they rest on, how unusual images are."""

import math
import time
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import nextpixel as npx
from nextpixel import checks, pictures, plots, processes, scores
from nextpixel.cli import common
from nextpixel.cli.common import several
from nextpixel.cli.parsers import PICTURES
from nextpixel.data import CATALOGUE, Split
from nextpixel.data.dataset import evenly
from nextpixel.data.readers.hub import is_hub
from nextpixel.evaluation import Bounds, Evaluation, baselines, compared, evaluate_bounds, formats, plus_minus
from nextpixel.pairing import given

LATENT_SAMPLES = 16  # of z, where nobody says how many
COSTLIEST = 12  # images that are shown of each set


def evaluate(options: Namespace) -> None:
    """Print the mean of −log p(x), in nats per image and bits per dimension, with its standard error."""
    model = common.load(options)
    name, split, notes, train = common.images_of(model, options)
    began = time.monotonic()
    settings = {"images": options.images, "seed": options.seed, "classes": not options.without_classes}
    result = measured(model, split, samples=options.samples, **settings)
    seconds = time.monotonic() - began
    common.tell(notes)
    beside = baselines(model.spec, train, split, images=options.images)
    if options.json:
        about = {"model": str(options.model), "data": name, "split": options.split}
        about |= {"classes": False} if options.without_classes else {}
        common.print_json({**about, **as_json(result), "baselines": beside, "seconds": round(seconds, 2)})
    else:
        total = result.elbo if isinstance(result, Bounds) else result
        print(f"{name}, {options.split}, {several(total.images, 'image')} in {seconds:.1f} s")
        print("\n".join(_lines(result)))
        print(f"  beside it, bits per dimension: {compared(total.bits_per_dim, beside)}")


def check(options: Namespace) -> int:
    """Print a table of the laws with their figures, and what a failure means; exit status 1 if a law fails."""
    out = None if options.out is None else common.place(options.out, *PICTURES)
    model = common.load(options)
    tested = model.decoder if isinstance(model, npx.PixelVAE) else common.exact(model, "check")
    pixel = model.spec.height // 2, model.spec.width // 2
    field = None if out is None else plots.receptive_field(tested, *pixel, seed=options.seed)
    images, context, about, notes = _checked(model, options)
    began, watch = time.monotonic(), common.with_bar("checking")
    findings = checks.check(tested, context, images=images, seed=options.seed, watch=watch)
    seconds, failed = time.monotonic() - began, any(finding.fails for finding in findings)
    if out is not None and field is not None:
        pictures.write(plots.draw_receptive_field(tested, field, *pixel), out)
    common.tell(notes)
    if options.json:
        rows = [{**asdict(finding), "verdict": finding.verdict} for finding in findings]
        figures = {"model": str(options.model), "about": about, "seconds": round(seconds, 2), "fails": failed}
        common.print_json({**figures, "findings": rows})
    else:
        print(f"{options.model}, {about}, in {seconds:.1f} s", *_verdicts(findings), sep="\n")
        if out is not None:
            print(f"What pixel {pixel[0]},{pixel[1]} sees and what not: {out}")
    return int(failed)


def score(options: Namespace) -> None:
    """Print the mean of each score, with two sets its AUROC, and write tables, maps and pictures."""
    began, out = time.monotonic(), [common.place(text, *PICTURES, ".npz", ".csv") for text in options.out]
    model = common.exact(common.load(options), "A score")
    against = options.against and common.exact(npx.load(options.against, device=model.device), "--against")
    sets = [common.asked_images(model, options)]
    if outside := options.outside:
        named = outside in CATALOGUE or is_hub(outside)
        where = {"data": outside, "source": None} if named else {"data": None, "source": Path(outside)}
        sets.append(common.asked_images(model, Namespace(**{**vars(options), **where})))
    names, notes = [name for name, *_ in sets], [note for *_, notes in sets for note in notes]
    images, counts = torch.cat([images for _, images, *_ in sets]), [len(images) for _, images, *_ in sets]
    typical = _typical(model, options, notes) if options.typical else None
    asked = ["bits_per_dim", "complexity", *["typicality"] * (typical is not None), *["ratio"] * bool(against)]

    def measure(piece: slice, images: Tensor, split: Split) -> Tensor:
        beside = given(model.context, split, np.arange(len(images))[piece])
        found = vars(scores.score(model, images[piece], beside, typical=typical, against=against))
        return torch.cat([torch.stack([found[name] for name in asked], 1), found["bits"].flatten(1)], 1)

    made: list[Tensor] = []
    for name, some, split, _ in sets:
        watch, work = common.with_bar(f"scoring {name}"), partial(measure, images=some, split=split)
        made += processes.everywhere(common.pieces(len(some)), work, watch)
    found = torch.cat(made)
    columns, bits = dict(zip(asked, found.T, strict=False)), found[:, len(asked) :].reshape(images.shape)
    rows = {name: _summary(its.split(counts)) for name, its in columns.items()}
    common.tell(notes)
    for path in out if processes.rank() == 0 else ():
        if path.suffix.lower() in PICTURES:
            pictures.write(_costliest(model, names, images.split(counts), bits.split(counts)), path)
        else:
            more = {"images": images, "bits": bits.float()} if path.suffix.lower() == ".npz" else {}
            common.write_arrays(path, **_beside(counts, [split for _, _, split, _ in sets]), **columns, **more)
    if options.json:
        about = {"model": str(options.model), "against": options.against, "data": names, "images": counts}
        about |= {"typical": typical, "files": formats(model.spec), "scores": rows}
        common.print_json({**about, "seconds": round(time.monotonic() - began, 2)})
        return
    for name, count, which in zip(names, counts, ("inside", "outside"), strict=False):
        print(f"{f'{which}: ' * (len(sets) == 2)}{name}, {several(count, 'image')}")
    heads = ("score", "mean inside", "mean outside", "AUROC") if len(sets) == 2 else ("score", "mean")
    for cells in [heads, *([name, *_cells(row)] for name, row in rows.items())]:
        print("".join(f"{cell:<22}" for cell in cells).rstrip())
    print(f"Bits a sub-pixel, larger for the unusual; complexity is beside {' or '.join(formats(model.spec))}.")
    print(f"Written: {', '.join(map(str, out))}")


def measured(
    model: npx.Model, split: Split, *, samples: int | None = None, classes: bool = True, **settings: Any
) -> Evaluation | Bounds:
    """What a model's likelihood of a split's images is, or its bounds, by so many samples of z."""
    if not (classes or isinstance(model.context, npx.ClassLabel)):
        raise npx.BadInput("--without-classes is for models of classes; this one is given none.")
    settings |= {"batch": common.BATCH, "watch": common.with_bar("evaluating")}
    if isinstance(model, npx.PixelVAE):
        return evaluate_bounds(model, split, samples=LATENT_SAMPLES if samples is None else samples, **settings)
    if samples is not None:
        raise npx.BadInput(f"--samples {samples} is for bounds, but the likelihood of this model is exact.")
    return npx.evaluate(model, split, classes=classes, **settings)


def as_json(result: Evaluation | Bounds) -> dict[str, Any]:
    """The figures without those of each image, and a NaN, which JSON has not, as None."""

    def kept(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: None if value != value else value for name, value in items if name != "each" and value != ()}

    return asdict(result, dict_factory=kept)


def _lines(result: Evaluation | Bounds) -> list[str]:
    """What was measured, in words."""
    if isinstance(result, Evaluation):
        lines = [
            f"  {result.nats:10.4f}{plus_minus(result.nats_error)} nats per image",
            f"  {result.bits_per_dim:10.4f}{plus_minus(result.bits_per_dim_error)} bits per dimension",
        ]
        if orders := result.orders:
            number, best = min(enumerate(orders), key=lambda order: order[1].nats)
            alone = ", ".join(f"{each.nats:.4f}" for each in orders)
            lines.append(
                f"  That is the mixture of {len(orders)} reading orders, which alone are {alone} nats per image;"
            )
            lines.append(f"  the best single one is order {number}: {best.nats:.4f}{plus_minus(best.nats_error)}.")
        return lines
    rows = {"ELBO": result.elbo, "  reconstruction": result.reconstruction, "  KL": result.kl}
    if result.importance is not None:
        rows[f"importance-weighted, k = {result.samples}"] = result.importance
    lines = [
        f"  {name:<30}{its.nats:10.4f}{plus_minus(its.nats_error)} nats per image,"
        f"{its.bits_per_dim:8.4f}{plus_minus(its.bits_per_dim_error)} bits per dimension"
        for name, its in rows.items()
    ]
    share = 100 * result.kl.nats / result.elbo.nats
    return ["  upper bounds of the cost −log p(x):", *lines, f"  The KL is {share:.1f} % of the ELBO."]


def _checked(model: npx.Model, options: Namespace) -> tuple[Tensor | None, Any, str, list[str]]:
    """The first images of --data with their contexts, or none; what is checked, in words; and what to `tell`."""
    decoder = "its decoder given a latent vector, " if isinstance(model, npx.PixelVAE) else ""
    try:
        name, split, notes, _ = common.images_of(model, options)
        if len(split) < 2:
            raise npx.BadInput(f"The {options.split} split of {name} has {several(len(split), 'image')}.")
        x = common.first(split, options.seed, checks.IMAGES)
        context = given(model.context, split, range(len(x)))
    except npx.BadInput as error:
        if options.data is not None:
            raise
        why = f"the images are random, as there are no others: {str(error).rstrip('.')}"
        return None, None, f"{decoder}{checks.IMAGES} random images", [why]
    if isinstance(model, npx.PixelVAE):
        with torch.no_grad():
            context = model.posterior(x).mean
    return x, context, f"{decoder}{several(len(x), 'image')} of {name}, {options.split}", notes


def _verdicts(findings: list[checks.Finding]) -> list[str]:
    """A row for each law, and in words what there is to say of those that do not hold."""
    rows, words, width = [], [], max(len(finding.law) for finding in findings)
    for finding in findings:
        limit = f"at {'least' if finding.least else 'most'} {finding.tolerance:g}"
        figure = "" if finding.untested else f"{finding.figure:9.3g}  ({limit})"
        rows.append(f"  {finding.verdict:<15} {finding.law:<{width}} {figure}".rstrip())
        if not finding.holds:
            words.append(f"{finding.verdict.capitalize()}: {finding.law}: {finding.untested or finding.failure}.")
    failed, held = (sum(getattr(finding, what) for finding in findings) for what in ("fails", "holds"))
    return [*rows, *words, f"{held} of {len(findings)} laws hold, {failed or 'none'} fail{'s' * (failed == 1)}."]


def _typical(model: npx.Model, options: Namespace, notes: list[str]) -> float | None:
    """The mean bits per dimension of validation images; None, and a note, where there are none."""
    try:
        _, split, *_ = common.images_of(model, Namespace(**{**vars(options), "data": None, "split": "validation"}))
    except npx.BadInput as error:
        notes.append(f"typicality needs validation images: {str(error).rstrip('.')}")
        return None
    some = split.take(evenly(len(split), options.typical))
    watch = common.with_bar("measuring what is typical")
    return npx.evaluate(model, some, batch=common.BATCH, watch=watch).bits_per_dim


def _summary(sets: tuple[Tensor, ...]) -> dict[str, Any]:
    """Of a score, the mean in each set and its standard error, and of two sets the AUROC."""
    errors = [float(its.std() / math.sqrt(len(its))) if len(its) > 1 else math.nan for its in sets]
    area = dict(zip(("auroc", "auroc_error"), scores.auroc(*sets), strict=True)) if len(sets) == 2 else {}
    return {"means": [float(its.mean()) for its in sets], "errors": errors, **area}


def _cells(row: dict[str, Any]) -> list[str]:
    areas = [(row["auroc"], row["auroc_error"])] if "auroc" in row else []
    pairs = [*zip(row["means"], row["errors"], strict=True), *areas]
    return [f"{figure:.4f}{plus_minus(error)}" for figure, error in pairs]


def _beside(counts: list[int], splits: list[Split]) -> dict[str, np.ndarray | None]:
    """What is known of each image: its set, where there are two, its number there, the path of its file, its label."""
    files = [np.full(count, "") if its.files is None else its.files for its, count in zip(splits, counts, strict=True)]
    labels = [its.labels for its in splits if its.labels is not None]
    return {
        "outside": np.arange(2).repeat(counts) if len(splits) == 2 else None,
        "index": np.concatenate([np.arange(count) for count in counts]),
        "source": np.concatenate(files) if any(map(any, files)) else None,
        "label": np.concatenate(labels) if len(labels) == len(splits) else None,
    }


def _costliest(model: npx.Model, names: list[str], images: tuple[Tensor, ...], bits: tuple[Tensor, ...]) -> Image.Image:
    """The costliest images of each set beside their maps, which share a scale."""
    chosen = [its.flatten(1).sum(1).argsort(descending=True)[:COSTLIEST] for its in bits]
    pixels = torch.cat([its[some].sum(1).flatten() for its, some in zip(bits, chosen, strict=True)]).numpy()
    most, sheets = max(float(np.quantile(pixels[np.isfinite(pixels)], 0.99)), 0.01), list[Image.Image]()
    for name, levels, costs, some in zip(names, images, bits, chosen, strict=True):
        sheet = pictures.costs(levels[some], costs[some], model.spec.levels, most=most, ordinal=model.spec.ordinal)
        sheets.append(pictures.titled(sheet, f"{Path(name).name}, costliest: 0 (black) to {most:.2g} bits a pixel"))
    return pictures.stacked(sheets)
