"""A trained model with all that others need to use and to trust it: a folder in the layout of the Hugging Face Hub."""

import inspect
import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextpixel.autoregressive import Autoregressive
from nextpixel.checkpoint import save
from nextpixel.errors import BadInput
from nextpixel.evaluation import plus_minus
from nextpixel.files import whole_file
from nextpixel.model import Model
from nextpixel.models import MODELS, kind_of
from nextpixel.nn.context import ClassLabel
from nextpixel.shipped import ABOUT, CARD, FILE

TEMPLATE = Path(__file__).with_name("card.md")


@dataclass(frozen=True)
class Card:
    """What is said of a model beside its weights."""

    name: str
    data: str  # the set that it learnt from
    licence: str | None  # of the data, and whom to thank; None where nobody said
    command: str | None  # that trains it; None where nobody knows
    training: str  # steps, minutes and the machine, in words
    figures: Mapping[str, Any]  # bits_per_dim, nats, their errors; images, split; baselines of other codecs


def export(model: Model, folder: Path, card: Card) -> None:
    """Write `model.safetensors`, `config.json` and `README.md`, the card.

    Raises:
        BadInput: the folder cannot be written.
    """
    weights = sum(weight.numel() for weight in model.parameters())
    about = {"library_name": "nextpixel", "weights": weights, **vars(card), "recipe": model.recipe}
    texts = {ABOUT: json.dumps(about, indent=1, default=dict, allow_nan=False) + "\n", CARD: text_of(model, card)}
    save(model, folder / FILE)
    for name, text in texts.items():
        with whole_file(folder / name) as beside:
            beside.write_text(text, "utf-8")


def text_of(model: Model, card: Card) -> str:
    """The card, in Markdown with the metadata that the Hub reads."""
    kind, found, context = model.recipe["name"], card.figures, model.context
    orders, classes = model.recipe["arguments"].get("orders", 1), context if isinstance(context, ClassLabel) else None
    task, set_ = "unconditional-image-generation", {"type": card.data, "name": card.data, "split": found["split"]}
    figure = {"type": "bits_per_dim", "value": round(found["bits_per_dim"], 4)}
    result = {"task": {"type": task}, "dataset": set_, "metrics": [figure]}
    head = {
        "library_name": "nextpixel",
        **({"pipeline_tag": task} if context is None else {}),
        "tags": ["image-generation", "autoregressive", kind],
        "datasets": [card.data],
        "model-index": [{"name": card.name, "results": [result]}],
    }
    made = inspect.cleandoc(kind_of(kind).__doc__ or "") if kind in MODELS else "A network of one's own."
    sources = [made, *([inspect.cleandoc(Autoregressive.__doc__ or "")] if orders > 1 else [])]
    papers = [re.search(r"^ *\[1\] (.*?)\.$", text, re.MULTILINE | re.DOTALL) for text in sources]
    return TEMPLATE.read_text("utf-8").format(
        head="\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items()),
        card=card,
        model=model,
        given=f", given one of the {classes.listed}" if classes else f", given {context}" if context else "",
        about=made.splitlines()[0],
        read=f" It reads in {orders} orders; its likelihood is their mixture." if orders > 1 else "",
        label=", context=0" if classes else ", context=…" if context else "",
        shape=", ".join(map(str, model.spec.shape)),
        bound="At most " if kind == "pixelvae" else "",
        bits=f"{found['bits_per_dim']:.4f}{plus_minus(found['bits_per_dim_error'])}",
        nats=f"{found['nats']:.3f}{plus_minus(found['nats_error'])}",
        beside=", ".join(f"{codec} {value:.3f}" for codec, value in found.get("baselines", {}).items()),
        training="\n\n    ".join([textwrap.fill(card.training, 120), *([card.command] if card.command else [])]),
        licence=card.licence or "Nobody said under which licence the images are.",
        papers="\n".join(f"- {' '.join(paper[1].split())}" for paper in papers if paper),
    )


def safe(name: str) -> str:
    """A name for a folder and a model, of letters, digits, points, lines and hyphens; another is BadInput."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}", name):
        raise BadInput(f"A model is called by letters, digits, '.', '_' and '-', not {name!r}.")
    return name
