"""A trained model with all that others need to use and to trust it: a folder in the layout of the Hugging Face Hub."""

import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextpixel.checkpoint import save
from nextpixel.errors import BadInput
from nextpixel.files import whole_file
from nextpixel.model import Model
from nextpixel.models import kind_of
from nextpixel.nn.context import ClassLabel
from nextpixel.shipped import ABOUT, CARD, FILE, SAMPLES

PAPERS = {  # of each model, for those who cite it
    "pixelcnn": "van den Oord et al., Pixel Recurrent Neural Networks, ICML 2016",
    "residual_pixelcnn": "van den Oord et al., Pixel Recurrent Neural Networks, ICML 2016",
    "row_lstm": "van den Oord et al., Pixel Recurrent Neural Networks, ICML 2016",
    "diagonal_bilstm": "van den Oord et al., Pixel Recurrent Neural Networks, ICML 2016",
    "gated_pixelcnn": "van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS 2016",
    "pixelcnnpp": "Salimans et al., PixelCNN++, ICLR 2017",
    "pixelsnail": "Chen et al., PixelSNAIL: An Improved Autoregressive Generative Model, ICML 2018",
    "pixelvae": "Gulrajani et al., PixelVAE: A Latent Variable Model for Natural Images, ICLR 2017",
}
ORDERS = "Jain et al., Locally Masked Convolution for Autoregressive Models, UAI 2020 (reading orders)"


@dataclass(frozen=True)
class Card:
    """What is said of a model beside its weights.

    Args:
        name: of the model.
        data: the name of the set that it learnt from.
        licence: of the data, and whom to thank; None where nobody said.
        command: that trains it, None where nobody knows.
        training: steps, minutes and the machine, in words.
        figures: bits_per_dim, nats and their errors, and how many images of which split; those of other codecs beside.
    """

    name: str
    data: str
    licence: str | None
    command: str | None
    training: str
    figures: Mapping[str, Any]


def export(model: Model, folder: Path, card: Card) -> None:
    """Write `model.safetensors`, `config.json` and `README.md`, the card.

    Raises:
        BadInput: the folder cannot be written.
    """
    weights = sum(weight.numel() for weight in model.parameters())
    about = {"library_name": "nextpixel", "weights": weights, **vars(card), "recipe": model.recipe}
    texts = {ABOUT: json.dumps(about, indent=1, default=dict, allow_nan=False) + "\n", CARD: text_of(model, card)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror or error}.") from error
    save(model, folder / FILE)
    for name, text in texts.items():
        with whole_file(folder / name) as beside:
            beside.write_text(text, "utf-8")


def text_of(model: Model, card: Card) -> str:
    """The card, in Markdown with the metadata that the Hub reads."""
    recipe, found = model.recipe, card.figures
    kind, name = recipe["name"], card.name
    orders = recipe["arguments"].get("orders", 1)
    bits = f"{found['bits_per_dim']:.4f}{_error(found['bits_per_dim_error'])} bits per dimension"
    nats = f"{found['nats']:.3f}{_error(found['nats_error'])} nats an image"
    bound = "at most " if kind == "pixelvae" else ""
    beside = ", ".join(f"{codec} {value:.3f}" for codec, value in found.get("baselines", {}).items())
    head = {
        "library_name": "nextpixel",
        **({"pipeline_tag": "unconditional-image-generation"} if model.context is None else {}),
        "tags": ["image-generation", "autoregressive", kind],
        "datasets": [card.data],
        "model-index": [{"name": name, "results": [_result(card)]}],
    }
    papers = [PAPERS[kind]] if kind in PAPERS else []
    papers += [ORDERS] if orders > 1 else []
    about = (
        inspect.cleandoc(kind_of(kind).__doc__ or "").splitlines()[0] if kind in PAPERS else "A network of one's own."
    )
    classes = model.context if isinstance(model.context, ClassLabel) else None
    given = f", given one of the {classes.listed}" if classes else f", given {model.context}" if model.context else ""
    read = f" It reads in {orders} orders; its likelihood is their mixture." if orders > 1 else ""
    label = ", context=0" if classes else ", context=…" if model.context else ""
    return "\n".join(
        [
            "---",
            *(f"{key}: {json.dumps(value)}" for key, value in head.items()),
            "---",
            f"# {name}",
            "",
            f"A `{kind}` of images {model.spec}{given}, trained on {card.data}. {about}{read}",
            "",
            f"![Samples, uncurated, seed 0]({SAMPLES})",
            "",
            "```python",
            "import nextpixel as npx",
            "",
            f'model = npx.load("{name}")  # this folder, or a model that came with nextpixel',
            f"images = model.sample(16{label}, seed=0)  # (16, {', '.join(map(str, model.spec.shape))}) integers",
            "```",
            "",
            "## Figures",
            "",
            f"{bound.capitalize()}{bits}, {nats}: {found['images']:,} {found['split']} images of {card.data}; ± one "
            f"standard error. Beside it on the same images, bits per dimension: {beside}.",
            "",
            "## Training",
            "",
            textwrap.fill(card.training, 120),
            *(["", f"    {card.command}"] if card.command else []),
            "",
            "## Data",
            "",
            card.licence or "Nobody said under which licence the images are.",
            "",
            "## Limits",
            "",
            "It knows images of this size and kind alone; its samples are like what it learnt from, faults included. "
            "Figures compare with those of the same images and levels only.",
            "",
            "## Cite",
            "",
            *(f"- {paper}" for paper in papers),
            "- nextpixel (this implementation)",
            "",
        ]
    )


def _result(card: Card) -> dict[str, Any]:
    figure = {"type": "bits_per_dim", "value": round(card.figures["bits_per_dim"], 4)}
    data = {"type": card.data, "name": card.data, "split": card.figures["split"]}
    return {"task": {"type": "unconditional-image-generation"}, "dataset": data, "metrics": [figure]}


def _error(error: float | None) -> str:
    return "" if error is None else f" ± {error:.4f}"


def safe(name: str) -> str:
    """A name for a folder and a model.

    Raises:
        BadInput: one that is not of letters, digits, points, lines and hyphens.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}", name):
        raise BadInput(f"A model is called by letters, digits, '.', '_' and '-', not {name!r}.")
    return name
