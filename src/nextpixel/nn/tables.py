"""The functions of an exact twin: tables that are made once, when it is made, and stored in its file."""

import torch
from torch import Tensor, nn

from nextpixel.nn import ops

STEPS = 1024  # entries of a table for a distance of 1
GATED = ops.Grid(1 / STEPS, 1.0)
_REACH = 8  # where tanh and the logistic function have arrived, as near as a step tells
_DEPTH = 18  # nats: what is less likely by more is nothing beside 2^24 parts


class Tables(nn.Module):
    """tanh and the logistic function for gates, and exp for frequencies.

    Attributes:
        gate: tanh of −8 … 8, then the logistic function of the same, in steps of 1/1024; multiples of 2^−12.
        exp: exp(−x) for x of 0 … 18 in the same steps, in parts of 2^24, the nearest whole numbers.
    """

    gate_table: Tensor
    exp_table: Tensor

    def __init__(self) -> None:
        super().__init__()
        x = torch.arange(-_REACH * STEPS, _REACH * STEPS + 1, dtype=torch.float64) / STEPS
        both = torch.cat((x.tanh(), x.sigmoid()))
        self.register_buffer("gate_table", ((both * 2**12).round() / 2**12).float())
        depth = torch.arange(_DEPTH * STEPS, dtype=torch.float64) / STEPS
        self.register_buffer("exp_table", (depth.neg().exp() * 2**24).round().float())

    def gate(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """`ops.gate` of numbers of any scale, (B, 2D, …) to (B, D, …), on the grid `GATED`."""
        index = (
            x.clamp(-_REACH, _REACH).mul_(STEPS).round_().add_(_REACH * STEPS).int()
        )  # round once, whatever the type
        half = x.shape[1] // 2
        index[:, half:] += len(self.gate_table) // 2
        index = index.movedim(1, -1)
        found = self.gate_table.index_select(0, index.reshape(-1)).view(index.shape).movedim(-1, 1)
        return ops.settle(torch.mul(found[:, :half], found[:, half:], out=out), GATED)

    def exp(self, depth: Tensor) -> Tensor:
        """The exponential of −depth, for numbers of at least 0, in whole parts of 2^24: float64."""
        return self.exp_table.double()[(depth * STEPS).floor_().clamp_(max=len(self.exp_table) - 1).long()]
