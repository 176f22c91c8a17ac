"""Muon: weights that are matrices move along their momentum made orthogonal, all others as AdamW has it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

LEAST = 16  # rows and columns: narrower ones, such as those of classes and the last layer's, gain nothing
MOMENTUM = 0.95
SIZE = 0.2  # root mean square of a step, which is that of Adam's
COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the quintic that takes singular values to about 1
ROUNDS = 5


class Muon(AdamW):
    """AdamW, but for matrices and kernels (as matrices of a row an output), whose direction is made orthogonal.

    The momentum of a matrix is replaced by the nearest matrix whose singular values are all about 1, so that rare
    directions are learnt as fast as frequent ones. It is then scaled to the size of Adam's steps, whose learning rates
    fit it. torch.optim.Muon takes no kernels, and computes in bfloat16, which most processors only emulate.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the scale: Liu et al. 2025, section 2.2.

    Args:
        groups: of weights, as other optimizers take them.
        lr: the learning rate; `betas` and `eps` are those of AdamW, for the weights that are no matrices.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        parts = [
            {**group, "params": own, "matrices": matrices}
            for group in groups
            for matrices in (True, False)
            if (own := [weight for weight in group["params"] if is_matrix(weight) == matrices])
        ]
        super().__init__(parts, lr=lr, betas=betas, eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step by the gradients that there are."""
        groups = self.param_groups
        for group in groups:
            for weight in group["params"] if group["matrices"] else ():
                if weight.grad is not None:
                    self._turn(weight, weight.grad, group["lr"], group["weight_decay"])
        self.param_groups = [group for group in groups if not group["matrices"]]
        try:
            return super().step(closure)
        finally:
            self.param_groups = groups

    def _turn(self, weight: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[weight]
        if not state:
            state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(weight)}  # AdamW looks for the step in all
        state["step"] += 1
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, MOMENTUM).flatten(1))
        weight.mul_(1 - rate * decay)
        weight.sub_(update.view(weight.shape), alpha=rate * SIZE * math.sqrt(max(update.shape)))


def is_matrix(weight: nn.Parameter) -> bool:
    """Whether its steps are made orthogonal."""
    return weight.ndim > 1 and min(len(weight), weight[0].numel()) >= LEAST


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest matrix with singular values of 1 (they end between 0.6 and 1.3), by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(ROUNDS):
        square = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(square, square, square, beta=b, alpha=c), wide, beta=a)
    return wide if len(matrix) <= matrix.shape[1] else wide.T
