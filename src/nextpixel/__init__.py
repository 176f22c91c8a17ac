"""Deep autoregressive image models: exact likelihoods, samples, completions.

Names, and the modules below, are loaded at their first use, so that what needs no torch does not wait for it.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextpixel.autoregressive import Autoregressive
    from nextpixel.checkpoint import load, save
    from nextpixel.checks import check
    from nextpixel.codec import compress, decompress
    from nextpixel.data import open_data
    from nextpixel.errors import BadInput
    from nextpixel.evaluation import bits_per_dim, evaluate
    from nextpixel.integers import exact
    from nextpixel.model import Model
    from nextpixel.models import MODELS, build
    from nextpixel.models.network import Network
    from nextpixel.models.pixelvae import PixelVAE
    from nextpixel.nn.context import Both, ClassLabel, Latent, Map, Vector
    from nextpixel.scores import auroc, score
    from nextpixel.spec import ImageSpec
    from nextpixel.training import Training, train
    from nextpixel.unroll import Backbone

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "Autoregressive",
    "Backbone",
    "BadInput",
    "Both",
    "ClassLabel",
    "ImageSpec",
    "Latent",
    "Map",
    "Model",
    "Network",
    "PixelVAE",
    "Training",
    "Vector",
    "auroc",
    "bits_per_dim",
    "build",
    "check",
    "compress",
    "decompress",
    "evaluate",
    "exact",
    "load",
    "open_data",
    "save",
    "score",
    "train",
]

_MODULES = (
    "errors spec nn.context model autoregressive models models.pixelvae models.network integers checkpoint evaluation "
    "checks codec scores data training"
)


def __getattr__(name: str) -> object:
    for module in _MODULES.split() if name in __all__ else ():
        found = vars(importlib.import_module(f"nextpixel.{module}"))
        if name in found:
            return found[name]
    if not name.startswith("_") and importlib.util.find_spec(f"nextpixel.{name}") is not None:
        return importlib.import_module(f"nextpixel.{name}")
    raise AttributeError(f"module 'nextpixel' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
