"""From an image to the numbers that stand for it, and from such numbers to a map of features: the two ways of a VAE."""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

QUIET = 0.5  # of what it could be, a latent vector's map is at the start: z is noise then, and noise does harm
MOMENTUM = 0.02  # of running statistics: the part that a batch has
LEAST = 0.02  # of the mean variance of a vector's numbers: what varies less is not made to vary as much


class Conv(nn.Conv2d):
    """A 3x3 convolution, on request with an equalised learning rate: weights of size 1, scaled when they are used.

    A step of Adam moves every weight by the same; a sum over 4,096 of them jumps, and with it what it stands for
    (Karras et al., Progressive Growing of GANs, 2018, section 4.1).
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, equalised: bool = False) -> None:
        super().__init__(inputs, outputs, 3, stride=stride, padding=1)
        self.scale = _scale(self, math.sqrt(2 / (9 * inputs)), equalised)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """(B, D, H, W) to (B, O, H, W), or half of that."""
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, cast(tuple[int, int], self.padding))


class Dense(nn.Linear):
    """A linear layer, as `Conv`."""

    def __init__(self, inputs: int, outputs: int, *, equalised: bool = False) -> None:
        super().__init__(inputs, outputs)
        self.scale = _scale(self, math.sqrt(1 / inputs), equalised)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """(B, D) to (B, O)."""
        return F.linear(x, self.weight * self.scale, self.bias)


class Summary(nn.Module):
    """Convolutions that halve the resolution `depth` times, then one layer over all that is left.

    Of features there are `filters` at the first resolution, at each following one twice as many, up to eight times.
    """

    def __init__(
        self, inputs: int, outputs: int, height: int, width: int, *, filters: int, depth: int, equalised: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for scale in range(depth + 1):
            features = filters * 2 ** min(scale, 3)
            layers += [Conv(inputs, features, stride=2 if scale else 1, equalised=equalised), nn.ELU()]
            layers += [Conv(features, features, equalised=equalised), nn.ELU()]
            inputs = features
            if scale:
                height, width = -(-height // 2), -(-width // 2)
        self.layers = nn.Sequential(*layers)
        self.read = Dense(inputs * height * width, outputs, equalised=equalised)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to (B, O)."""
        return self.read(self.layers(x).flatten(1))


class SpreadOut(nn.Module):
    """One layer to a quarter of the resolution, then convolutions that double it twice; what lies beyond is cut off."""

    def __init__(self, inputs: int, outputs: int, height: int, width: int, *, equalised: bool = False) -> None:
        super().__init__()
        self.sizes = [(-(-height // scale), -(-width // scale)) for scale in (4, 2, 1)]
        (rows, columns), *_ = self.sizes
        self.first = Dense(inputs, outputs * rows * columns, equalised=equalised)
        self.layers = nn.ModuleList(Conv(outputs, outputs, equalised=equalised) for _ in self.sizes)
        if equalised:
            with torch.no_grad():
                cast(Conv, self.layers[-1]).weight.mul_(QUIET)

    def forward(self, z: Tensor) -> Tensor:
        """(B, z) to (B, d, H, W)."""
        z = z.to(self.first.weight)
        (rows, columns), *_ = self.sizes
        x = self.first(z).unflatten(1, (-1, rows, columns))
        for layer, (rows, columns) in zip(self.layers, self.sizes, strict=True):
            if x.shape[2:] != (rows, columns):
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :rows, :columns]
            x = F.elu(layer(x))
        return x


class Whitened(nn.Module):
    """Vectors made such that over images their numbers have mean 0, variance 1, and nothing to do with each other.

    By running statistics, without a gradient of their own (for those of a batch: Huang et al., Decorrelated Batch
    Normalization, 2018): a batch may be smaller than a vector is long, and in evaluation a vector does not depend on
    others. In training mode each call adds to them.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("covariance", torch.eye(size))

    def forward(self, x: Tensor) -> Tensor:
        """(B, z) to the same shape."""
        if self.training:
            seen = x.detach().to(self.mean)
            self.mean.lerp_(seen.mean(0), MOMENTUM)
            off = seen - self.mean
            self.covariance.lerp_((off.unsqueeze(2) * off.unsqueeze(1)).mean(0), MOMENTUM)  # no product in bfloat16
        least = LEAST * self.covariance.diagonal().mean() + 1e-6  # vectors that are all alike have no variance
        # In the dtype of x, which is float32 at least: no root is taken of less.
        root = torch.linalg.cholesky(self.covariance + least * torch.eye(len(self.mean)).to(x))
        return torch.linalg.solve_triangular(root, (x - self.mean).T, upper=False).T


def _scale(layer: nn.Conv2d | nn.Linear, scale: float, equalised: bool) -> float:
    """What its weights are multiplied by, which then start anew."""
    if not equalised:
        return 1.0
    nn.init.normal_(layer.weight)
    nn.init.constant_(cast(Tensor, layer.bias), 0)
    return scale
