"""RESULTS.md: what the models that come with the package reach, and what their samples are worth.

    python benchmarks/shipped.py measure [NAME …]     # draws from each (seed 0), judges, keeps it in results/shipped/
    python benchmarks/shipped.py page                 # writes RESULTS.md from that, the cards, and results/

Likelihoods are those of the cards, which `nextpixel evaluate NAME` gives again. Needs NEXTPIXEL_DATA.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import torch

import nextpixel as npx
from nextpixel import pictures, shipped
from nextpixel.cli.listing import RECIPES
from nextpixel.data import DataSet, codes, open_data
from nextpixel.evaluation import formats, lossless
from orders import machine, train_classifier
from results import RESULTS, ROOT

KEPT = RESULTS / "shipped"
CODES = {"mnist-codes": "mnist"}  # a set of codes -> that of the images that they stand for
COUNT, SHOWN = 1000, 10  # samples that a classifier judges, and that stand beside training images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("measure", "page"))
    parser.add_argument("names", nargs="*", default=shipped.names())
    options = parser.parse_args()
    if options.verb == "measure":
        for name in options.names:
            measure(name)
    (ROOT / "RESULTS.md").write_text(page())


def measure(name: str) -> None:
    """Draw from a model; keep how often a classifier sees the class that was asked for, and what training images
    are nearest to the first samples: a model that copies would show it there."""
    KEPT.mkdir(parents=True, exist_ok=True)
    model, config = npx.load(name), _config(name)
    data = open_data(**config["data"])
    files, began = _files(data), time.monotonic()
    classes = model.context.classes if isinstance(model.context, npx.ClassLabel) else None
    labels = None if classes is None else torch.arange(COUNT) % classes
    pieces = [range(start, start + 100) for start in range(0, COUNT if classes else 100, 100)]
    drawn = torch.cat(
        [
            model.sample(100, None if labels is None else labels[piece.start : piece.stop], seed=0, first=piece.start)
            for piece in pieces
        ]
    )
    found: dict[str, Any] = {"samples": len(drawn), "seconds": time.monotonic() - began, "machine": machine()}
    found["files"] = files
    if name in CODES:
        data, drawn = open_data(CODES[name]), torch.from_numpy(codes.decode(drawn.numpy(), codes.book())).long()
        assert classes is not None
        rows = torch.cat([drawn[label::classes][: 60 // classes] for label in range(classes)])
        sheet = pictures.by_class(rows, [str(label) for label in range(classes)], data.spec.levels)
        pictures.write(sheet, shipped.FOLDER / name / shipped.SAMPLES)  # in the place of codes as colours
    if labels is not None:
        classifier, found["accuracy"] = train_classifier(data)
        with torch.no_grad():
            seen = torch.cat([classifier(part / (data.spec.levels - 1)).argmax(1) for part in drawn.split(500)])
        found["agreement"] = float((seen == labels).float().mean())
    nearest, distances = _nearest(drawn[:SHOWN], data)
    found["distance"] = distances
    pairs = torch.cat([drawn[:SHOWN], nearest])
    pictures.write(
        pictures.grid(pairs, data.spec.levels, ordinal=data.spec.ordinal, columns=SHOWN), KEPT / f"{name}.png"
    )
    (KEPT / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(name, found, flush=True)


def _files(data: DataSet) -> dict[str, float]:
    """Bits a sub-pixel of the test images, each as a lossless file of its own."""
    spec, images = data.spec, data.test.batch(range(len(data.test)), np.random.default_rng(0))[0].numpy()
    return {
        form: 8 * sum(lossless(image[None], spec, form) for image in images) / images.size for form in formats(spec)
    }


def _nearest(images: torch.Tensor, data: DataSet) -> tuple[torch.Tensor, list[float]]:
    """The training image with the smallest squared distance to each, and the root of the mean of it, in levels."""
    noise, best = np.random.default_rng(0), torch.full((len(images),), torch.inf)
    found, flat = images.clone(), images.flatten(1).float()
    for start in range(0, len(data.train), 1000):
        some, _ = data.train.batch(np.arange(start, min(start + 1000, len(data.train))), noise)
        distance, which = torch.cdist(flat, some.flatten(1).float()).min(1)
        closer = distance < best
        best[closer], found[closer] = distance[closer], some[which[closer]].long()
    return found, [round(float(value), 3) for value in best / flat.shape[1] ** 0.5]


def _config(name: str) -> dict[str, Any]:
    import yaml

    return yaml.safe_load((shipped.FOLDER / name / shipped.CONFIG).read_text())


HEAD = """# Results

Made by `python benchmarks/shipped.py page`; no figure is written by hand. The models come with the package:
`nextpixel evaluate NAME` gives the likelihood again, `nextpixel sample NAME` the samples, `nextpixel models NAME` all
that is known of one. *bits/dim* and *nats* are explained in [docs/results.md](docs/results.md), which has the runs of
all other recipes and what was published by others. *PNG*: the same images below each other in one file;
*files*: each as a lossless file of its own, bits/dim.
"""
SAMPLES = f"""## Samples

Uncurated, seed 0. Under each sheet: the first ten samples (above) and the training image nearest to each (below), by
squared distance. *Agreement*: how often a convolutional classifier, trained on the real images alone, sees the class
that was asked for in {COUNT:,} samples; beside it, how often it is right about real test images. A dimension of
`mnist-codes` is a code; its samples are shown decoded.
"""
RECORDS = """## Binary MNIST: nats against minutes

Runs on the same images (dynamic binarisation, a fixed test set), the best first. A better one is welcome:
`python benchmarks/results.py record RUN` adds it to results/.
"""
NOT_RUN = """## Not run here

Recipes that nobody has run to their end here, most at the papers' sizes, with what they would cost by their own words.
"""


def page() -> str:
    """The page, in Markdown."""
    headings = [
        "model",
        "images",
        "network",
        "weights",
        "bits/dim",
        "nats an image",
        "PNG, bits/dim",
        "files",
        "trained",
    ]
    models = {name: shipped.about(name) for name in shipped.names()}
    parts = [HEAD, _table(headings, [_model(name, card) for name, card in models.items()]), SAMPLES]
    for name in models:
        parts.append(f"### {name}\n\n![Samples of {name}](src/nextpixel/shipped/{name}/{shipped.SAMPLES})\n")
        if (KEPT / f"{name}.json").is_file():
            found = json.loads((KEPT / f"{name}.json").read_text())
            parts.append(f"![Samples of {name}, and the training images nearest](results/shipped/{name}.png)\n")
            if "agreement" in found:
                parts.append(f"Agreement {found['agreement']:.1%}; real test images {found['accuracy']:.1%}.\n")
    parts += [RECORDS, _table(["nats", "test images", "minutes", "given", "command"], _records())]
    parts += [NOT_RUN, _table(["recipe", "cost"], _not_run())]
    return "\n".join(parts)


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _model(name: str, card: dict[str, Any]) -> list[str]:
    it, recipe, files = card["figures"], card["recipe"], json.loads((KEPT / f"{name}.json").read_text())["files"]
    orders = recipe["arguments"].get("orders", 1)
    most = "≤ " if recipe["name"] == "pixelvae" else ""  # it has bounds alone
    words = f"`{recipe['name']}`" + (f", {orders} reading orders" if orders > 1 else "")
    return [
        f"`{name}`",
        f"{card['data']} ({it['images']:,})",
        words + (", given the class" if recipe["context"] else ""),
        f"{card['weights']:,}",
        f"{most}{it['bits_per_dim']:.4f} ± {it['bits_per_dim_error']:.4f}",
        f"{most}{it['nats']:.2f} ± {it['nats_error']:.2f}",
        f"{it['baselines']['PNG']:.3f}" if "PNG" in it["baselines"] else "",
        ", ".join(f"{form} {bits:.3f}" for form, bits in files.items()),
        card["training"].split(";")[0],
    ]


def _records() -> list[list[str]]:
    runs = [json.loads(path.read_text()) for path in RESULTS.glob("*.json")]
    kept = sorted((run for run in runs if run["data"] == "mnist-binary"), key=lambda run: run["nats"])
    return [
        [
            f"{'≤ ' * ('bounds' in run)}{run['nats']:.2f} ± {run['nats_error']:.2f}",
            f"{run['images']:,}",
            f"{run['minutes']:.1f}",
            {"": "", "class": "class", "mixture": "nothing: the mixture of all classes"}[run["given"]],
            f"`{run['command']}`",
        ]
        for run in kept
    ]


def _not_run() -> list[list[str]]:
    texts = {name: path.read_text() for name, path in RECIPES.items()}
    return [
        [f"`{name}`", text.partition("# Cost: ")[2].splitlines()[0]]
        for name, text in texts.items()
        if "# Measured: not yet." in text
    ]


if __name__ == "__main__":
    main()
