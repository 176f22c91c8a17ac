"""From an image to the numbers that stand for it, and from such numbers to a map of features: the two ways of a VAE."""

import torch.nn.functional as F
from torch import Tensor, nn


class Summary(nn.Module):
    """Convolutions that halve the resolution, then one layer over all that is left.

    Args:
        inputs: features of the image.
        outputs: numbers of the summary.
        height, width: of the image.
        filters: features at the first resolution; each following one has twice as many, up to eight times.
        depth: how often the resolution is halved.
    """

    def __init__(self, inputs: int, outputs: int, height: int, width: int, *, filters: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for scale in range(depth + 1):
            features = filters * 2 ** min(scale, 3)
            layers += [nn.Conv2d(inputs, features, 3, stride=2 if scale else 1, padding=1), nn.ELU()]
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.ELU()]
            inputs = features
            if scale:
                height, width = -(-height // 2), -(-width // 2)
        self.layers = nn.Sequential(*layers)
        self.read = nn.Linear(inputs * height * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to (B, O)."""
        return self.read(self.layers(x).flatten(1))


class SpreadOut(nn.Module):
    """One layer to a quarter of the resolution, then convolutions that double it twice; what lies beyond is cut off.

    Args:
        inputs: numbers (z).
        outputs: features of the map (d).
        height, width: of the map.
    """

    def __init__(self, inputs: int, outputs: int, height: int, width: int) -> None:
        super().__init__()
        self.sizes = [(-(-height // scale), -(-width // scale)) for scale in (4, 2, 1)]
        (rows, columns), *_ = self.sizes
        self.first = nn.Linear(inputs, outputs * rows * columns)
        self.layers = nn.ModuleList(nn.Conv2d(outputs, outputs, 3, padding=1) for _ in self.sizes)

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
