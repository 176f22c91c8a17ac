"""What several pages of the documentation draw or list when they are built."""

import inspect
import re
from pathlib import Path

from IPython.display import Markdown
from PIL import Image

import nextpixel as npx
from nextpixel import plots
from nextpixel.models import settings_of

ROOT = Path(__file__).resolve().parents[1]
SIDE = 15  # of the images whose receptive fields are drawn
SMALL = {  # settings of small networks, which see what large ones see but for how far they reach
    "pixelcnn": {"filters": 8, "layers": 4, "first_kernel": 3, "kernel": 3, "head": 8},
    "residual_pixelcnn": {"filters": 8, "blocks": 4, "first_kernel": 3, "kernel": 3, "head": 8},
    "gated_pixelcnn": {"filters": 8, "blocks": 9, "first_kernel": 3, "kernel": 3, "head": 8},
    "row_lstm": {"filters": 8, "layers": 2, "first_kernel": 3, "head": 8},
    "diagonal_bilstm": {"filters": 8, "layers": 1, "first_kernel": 3, "head": 8},
    "pixelcnnpp": {"filters": 4, "blocks": 2},
    "pixelsnail": {"filters": 4, "blocks": 1, "layers": 1, "keys": 2, "values": 2},
}


def small(name: str, **settings: object) -> npx.Autoregressive:
    """A small network of that kind with random weights, for images of 15x15 pixels, black and white."""
    return npx.build(name, npx.ImageSpec(1, SIDE, SIDE, levels=2), "bernoulli", **(SMALL[name] | settings))


def field(model: npx.Autoregressive, row: int = 9, column: int = 6) -> Image.Image:
    """What a pixel sees."""
    seen = plots.receptive_field(model, row, column)
    return plots.draw_receptive_field(model, seen, row, column)


def sizes(name: str) -> Markdown:
    """The settings of a model and their defaults."""
    given = inspect.signature(npx.MODELS[name]).parameters
    return Markdown(", ".join(f"`{setting} = {given[setting].default}`" for setting in settings_of(npx.MODELS[name])))


def results(name: str) -> Markdown:
    """The rows of all results that are about this model."""
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    (table,) = re.findall(r"<!-- likelihoods -->\n(.*?)<!-- end -->", page, re.DOTALL)
    lines = table.splitlines()
    columns = [0, 1, 2, 3, 4, 5]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    chosen = [row for row in rows[2:] if row[1].startswith(f"`{name}`")]
    if not chosen:
        raise LookupError(f"There are no results of {name}.")
    shown = ["| " + " | ".join(row[column] for column in columns) + " |" for row in (*rows[:1], *chosen)]
    return Markdown("\n".join([shown[0], "|---" * len(columns) + "|", *shown[1:]]))
