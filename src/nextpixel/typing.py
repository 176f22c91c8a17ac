"""The shape letters, once. Annotations elsewhere use these names; tests check them at run time.

    B  images in a batch          C  channels of an image       H W  rows and columns
    D  features of a layer        K  mixture components         L    levels of a sub-pixel
    P  parameters of a sub-pixel  S  channels drawn in one sub-step

A *site* is a pixel (row, column); a *sub-pixel* is one channel of it. Raster order goes by rows, then columns,
then channels.
"""

from typing import Literal, SupportsFloat, SupportsIndex

from jaxtyping import Float
from torch import Tensor

PerImage = Float[Tensor, " B"]
Whole = SupportsIndex  # a number of a user, numpy's and torch's among them
Number = SupportsFloat
Colours = Literal["dependent", "independent"]  # a pixel's channels in order, each given those before; or all at once
