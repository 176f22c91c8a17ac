"""Trained models by name: those that come with the package, a folder each with a card, and those on the Hub."""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
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
    name, folder = str(path), Path()
    if not name.startswith(HUB):
        here = path.is_file() or (path / FILE).is_file() or (path / CONFIG).is_file()  # a run, if without a model yet
        return FOLDER / path if not here and name in names() else path
    with _hub(f"{name} cannot be had from the Hugging Face Hub") as hub:
        for file in (CONFIG, FILE):
            try:
                folder = Path(hub.hf_hub_download(name.removeprefix(HUB), file)).parent
            except hub.errors.EntryNotFoundError:
                if file == FILE:  # the other says only what the model learnt from
                    raise
    return folder


def push(folder: Path, name: str, *, private: bool = False) -> str:
    """Put what `cards.export` wrote at `hf:USER/NAME`, in one commit; say where it is.

    The repository is made if it is not there; `private`, others may not see it then.

    Raises:
        BadInput: the folder has no card, the Hub refuses or cannot be asked, or huggingface-hub is missing.
    """
    if missing := [file for file in (FILE, ABOUT, CARD) if not (folder / file).is_file()]:
        raise BadInput(f"{folder} has no {missing[0]}; write a model with its card first: nextpixel export MODEL DIR.")
    if not re.fullmatch(rf"{HUB}[\w.-]+/[\w.-]+", name):
        raise BadInput(f"A place on the Hub is hf:USER/NAME, not {name!r}.")
    with _hub(f"{folder} cannot be put at {name}") as hub:
        api, where = hub.HfApi(), name.removeprefix(HUB)
        address = api.create_repo(where, private=private, exist_ok=True)
        files = [file for file in (FILE, ABOUT, CARD, CONFIG, SAMPLES) if (folder / file).is_file()]
        about = "A model of nextpixel, with its card"
        api.upload_folder(repo_id=where, folder_path=folder, allow_patterns=files, commit_message=about)
    return str(address)


@contextmanager
def _hub(failed: str) -> Generator[Any]:
    """The package huggingface_hub; what goes wrong with it is a sentence that begins so."""
    with needs("huggingface_hub", "datasets", "A model on the Hub"):
        import huggingface_hub
        import huggingface_hub.errors as errors
    try:
        yield huggingface_hub
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as error:  # offline is an OSError too
        why = str(error).strip().splitlines()[0].rstrip(".:")
        raise BadInput(f"{failed}: {why}.") from error


def about(name: str) -> dict[str, Any]:
    """What the card of a model says, as JSON values."""
    return json.loads((FOLDER / name / ABOUT).read_text("utf-8"))
