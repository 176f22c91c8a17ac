"""Muon against what defines it: singular values, Adam's size of a step, and AdamW for all else."""

import copy

import pytest
import torch
from torch import nn

import nextpixel as npx
from nextpixel.training import Training
from nextpixel.training.muon import SIZE, Muon, is_matrix, orthogonal


@pytest.mark.parametrize("shape", [(16, 16), (16, 96), (96, 16), (64, 65)])
def test_directions_are_those_of_the_matrix_with_singular_values_of_about_1(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    matrix = left @ torch.diag(values.clamp(min=0.05 * values.max())) @ right
    found = orthogonal(matrix)
    turned = left.T @ found @ right.T  # diagonal, if the directions are the same
    assert (turned - torch.diag(turned.diagonal())).abs().max() < 1e-9
    assert turned.diagonal().min() > 0.6
    assert turned.diagonal().max() < 1.3


def test_kernels_move_by_the_rate_whatever_the_gradient_and_vectors_as_adamw_moves_them() -> None:
    torch.manual_seed(0)
    kernel = nn.Conv2d(8, 32, 3)
    network = nn.Sequential(kernel, nn.Conv2d(32, 2, 1)).double()
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    other, first = copy.deepcopy(network), kernel.weight.detach().clone()
    groups = [{"params": list(network.parameters()), "weight_decay": 0.0}]
    muon, adam = Muon(groups, lr=0.01), torch.optim.AdamW(other.parameters(), lr=0.01, weight_decay=0.0)
    for weight, its in zip(network.parameters(), other.parameters(), strict=True):
        weight.grad = 1e6 * torch.randn_like(weight)
        its.grad = weight.grad.clone()
    muon.step()
    adam.step()
    assert [name for name, weight in network.named_parameters() if is_matrix(weight)] == ["0.weight"]
    moved = (first - kernel.weight.detach()).square().mean().sqrt() / 0.01
    assert moved.item() == pytest.approx(SIZE, rel=0.2)  # of 32 singular values of about 1, over 32 x 72 weights
    assert kernel.weight.grad is not None
    step = 0.01 * SIZE * 72**0.5 * orthogonal(kernel.weight.grad.flatten(1)).view(32, 8, 3, 3)
    torch.testing.assert_close(first - kernel.weight.detach(), step, rtol=1e-9, atol=1e-12)
    for name, weight in network.named_parameters():
        if name != "0.weight":
            torch.testing.assert_close(weight, other.get_parameter(name), rtol=1e-9, atol=1e-12)


def test_the_momentum_goes_on_where_the_gradient_has_gone() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(16, 20, dtype=torch.float64))
    muon = Muon([{"params": [weight], "weight_decay": 0.0}], lr=0.1)
    weight.grad = torch.randn_like(weight)
    muon.step()
    once = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    muon.step()
    torch.testing.assert_close(weight.detach(), 2 * once, rtol=1e-9, atol=1e-12)


def test_weights_decay_apart_from_the_gradient() -> None:
    weight = nn.Parameter(torch.ones(16, 16))
    weight.grad = torch.zeros(16, 16)
    Muon([{"params": [weight], "weight_decay": 0.5}], lr=0.1).step()
    assert weight.detach().equal(torch.full((16, 16), 0.95))


def test_divided_weights_are_no_matrices() -> None:
    with pytest.raises(npx.BadInput, match=r"muon needs whole matrices.*adamw or ddp"):
        Training(optimizer="muon", strategy="fsdp")
