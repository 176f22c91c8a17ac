"""Deep autoregressive image models: exact likelihoods, samples, completions."""

from nextpixel.autoregressive import Autoregressive, Backbone
from nextpixel.checkpoint import load, save
from nextpixel.checks import check
from nextpixel.errors import BadInput
from nextpixel.evaluate import bits_per_dim
from nextpixel.model import Model
from nextpixel.models import MODELS, build
from nextpixel.models.network import Network
from nextpixel.models.pixelvae import PixelVAE
from nextpixel.nn.context import Both, ClassLabel, Latent, Map, Vector
from nextpixel.spec import ImageSpec

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
    "Vector",
    "bits_per_dim",
    "build",
    "check",
    "load",
    "save",
]
