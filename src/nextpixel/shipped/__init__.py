"""Trained models that come with the package: a folder each, as a run leaves it, with a card (see `nextpixel.cards`)."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
FILE, CONFIG, ABOUT, CARD, SAMPLES = "model.safetensors", "config.yaml", "config.json", "README.md", "samples.png"


def names() -> list[str]:
    """What the models are called."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{FILE}"))


def located(path: Path) -> Path:
    """The folder of the model that is called so, if nothing of that name is here that could be one; else the path."""
    here = path.is_file() or (path / FILE).is_file()
    return FOLDER / path if not here and str(path) in names() else path


def about(name: str) -> dict[str, Any]:
    """What the card of a model says, as JSON values."""
    return json.loads((FOLDER / name / ABOUT).read_text("utf-8"))
