"""Trained models by name: those that come with the package, a folder each with a card, and those on the Hub."""

import json
from pathlib import Path
from typing import Any

from nextpixel.errors import BadInput, needs

HUB = "hf:"
FOLDER = Path(__file__).resolve().parent
FILE, CONFIG, ABOUT, CARD, SAMPLES = "model.safetensors", "config.yaml", "config.json", "README.md", "samples.png"


def names() -> list[str]:
    """What the models are called."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{FILE}"))


def located(path: Path) -> Path:
    """The folder of the model that is called so, if nothing of that name is here that could be one; else the path.

    Of `hf:USER/NAME` it is a copy in the cache of huggingface-hub, made of what is there now if the network allows it.

    Raises:
        BadInput: the Hub has no such model, or cannot be asked, or huggingface-hub is missing.
    """
    if str(path).startswith(HUB):
        return _fetched(str(path))
    here = path.is_file() or (path / FILE).is_file() or (path / CONFIG).is_file()  # a run, if without a model yet
    return FOLDER / path if not here and str(path) in names() else path


def _fetched(name: str) -> Path:
    with needs("huggingface_hub", "datasets", f"A model on the Hub, {name},"):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
    folder = Path()
    for file in (CONFIG, FILE):
        try:
            folder = Path(hf_hub_download(name.removeprefix(HUB), file)).parent
        except (HfHubHTTPError, HFValidationError, OSError) as error:  # offline is an OSError too
            if isinstance(error, EntryNotFoundError) and file == CONFIG:  # it says only what the model learnt from
                continue
            why = str(error).strip().splitlines()[0].rstrip(".:")
            raise BadInput(f"{name} cannot be had from the Hugging Face Hub: {why}.") from error
    return folder


def about(name: str) -> dict[str, Any]:
    """What the card of a model says, as JSON values."""
    return json.loads((FOLDER / name / ABOUT).read_text("utf-8"))
