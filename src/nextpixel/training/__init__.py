"""Training: settings, the loop, and the run folder that it fills."""

from nextpixel.training.loop import train
from nextpixel.training.settings import Training

__all__ = ["Training", "train"]
