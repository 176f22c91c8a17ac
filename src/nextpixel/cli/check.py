"""`nextpixel check`: what the laws of this library's tests say of a model."""

import time
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import nextpixel as npx
from nextpixel import checks, pictures, plots
from nextpixel.cli.common import exact, images_of, load, place, print_json, several, tell, with_bar
from nextpixel.cli.parsers import PICTURES
from nextpixel.pairing import given


def main(options: Namespace) -> int:
    """Print a table of the laws with their figures, and what a failure means; exit status 1 if a law fails."""
    out = None if options.out is None else place(options.out, *PICTURES)
    model = load(options)
    tested = model.decoder if isinstance(model, npx.PixelVAE) else exact(model, "check")
    images, context, about, notes = _images(model, options)
    began, watch = time.monotonic(), partial(with_bar, doing="checking")
    findings = checks.check(tested, context, images=images, seed=options.seed, watch=watch)
    seconds, failed = time.monotonic() - began, [finding for finding in findings if finding.fails]
    pixel = model.spec.height // 2, model.spec.width // 2
    if out is not None:
        field = plots.receptive_field(tested, *pixel, seed=options.seed)
        pictures.write(plots.draw_receptive_field(tested, field, *pixel), out)
    tell(notes)
    if options.json:
        rows = [{**asdict(finding), "verdict": finding.verdict} for finding in findings]
        figures = {"model": str(options.model), "about": about, "seconds": round(seconds, 2), "fails": bool(failed)}
        print_json({**figures, "findings": rows})
    else:
        print(f"{options.model}, {about}, in {seconds:.1f} s")
        print("\n".join(_lines(findings, max(len(finding.law) for finding in findings))))
        if out is not None:
            print(f"What pixel {pixel[0]},{pixel[1]} sees and what not: {out}")
    return 1 if failed else 0


def _images(model: npx.Model, options: Namespace) -> tuple[Tensor | None, Any, str, list[str]]:
    """The first images of --data with their contexts, or none; what is checked, in words; and what to `tell`."""
    decoder = "its decoder given a latent vector, " if isinstance(model, npx.PixelVAE) else ""
    try:
        name, split, notes, _ = images_of(model, options)
        indices = np.arange(min(len(split), checks.IMAGES))
        if len(indices) < 2:
            raise npx.BadInput(f"The {options.split} split of {name} has {several(len(split), 'image')}.")
        x = split.batch(indices, np.random.default_rng(options.seed))[0].long()
        context = given(model.context, split, indices)
    except npx.BadInput as error:
        if options.data is not None:
            raise
        why = f"the images are random, as there are no others: {str(error).rstrip('.')}"
        return None, None, f"{decoder}{checks.IMAGES} random images", [why]
    if isinstance(model, npx.PixelVAE):
        with torch.no_grad():
            context = model.posterior(x).mean
    return x, context, f"{decoder}{several(len(x), 'image')} of {name}, {options.split}", notes


def _lines(findings: list[checks.Finding], width: int) -> list[str]:
    """A row for each law, and in words what there is to say of those that do not hold."""
    rows, words = [], []
    for finding in findings:
        limit = f"at {'least' if finding.least else 'most'} {finding.tolerance:g}"
        figure = "" if finding.untested else f"{finding.figure:9.3g}  ({limit})"
        rows.append(f"  {finding.verdict:<15} {finding.law:<{width}} {figure}".rstrip())
        if not finding.holds:
            words.append(f"{finding.verdict.capitalize()}: {finding.law}: {finding.untested or finding.failure}.")
    failed, held = (sum(getattr(finding, what) for finding in findings) for what in ("fails", "holds"))
    return [*rows, *words, f"{held} of {len(findings)} laws hold, {failed or 'none'} fail{'s' * (failed == 1)}."]
