"""Attention to earlier places only, and its form for one place at a time."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from nextpixel.nn.attention import Memory, attend


def _slow(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, heads: int) -> torch.Tensor:
    """Place by place, by the definition: a softmax over all earlier places; nothing for the first."""
    q, k, v = (part.flatten(2).chunk(heads, 1) for part in (query, keys, values))
    made = [torch.zeros_like(part) for part in v]
    for head in range(heads):
        for place in range(1, query.shape[2] * query.shape[3]):
            scores = (q[head][:, :, place, None] * k[head][:, :, :place]).sum(1) / q[head].shape[1] ** 0.5
            made[head][:, :, place] = (scores.softmax(1)[:, None] * v[head][:, :, :place]).sum(2)
    return torch.cat(made, 1).view(len(query), -1, *query.shape[2:])


def _random(*features: int, grid: tuple[int, int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, size, *grid, dtype=torch.float64, generator=generator) for size in features]


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("grid", [(3, 4), (1, 5), (1, 1)])
def test_it_is_the_definition(heads: int, grid: tuple[int, int]) -> None:
    query, keys, values = _random(4, 4, 6, grid=grid)
    torch.testing.assert_close(attend(query, keys, values, heads=heads), _slow(query, keys, values, heads))


@pytest.mark.parametrize("heads", [1, 2])
def test_a_memory_recalls_the_same(heads: int) -> None:
    query, keys, values = _random(4, 4, 6, grid=(3, 4))
    expected = attend(query, keys, values, heads=heads).flatten(2)
    memory = Memory(torch.zeros(2, heads, 12, 4 // heads).double(), torch.zeros(2, heads, 12, 6 // heads).double())
    for place in range(12):
        torch.testing.assert_close(memory.recall(place, query.flatten(2)[..., place]), expected[..., place])
        memory.observe(place, keys.flatten(2)[..., place], values.flatten(2)[..., place])


def test_the_first_place_attends_to_nothing() -> None:
    assert not attend(*_random(4, 4, 6, grid=(3, 4)), heads=1)[:, :, 0, 0].any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_no_kernel_that_holds_a_weight_for_each_pair_of_places_is_needed(layout: torch.memory_format) -> None:
    query, keys, values = (part.contiguous(memory_format=layout) for part in _random(4, 4, 6, grid=(3, 4)))
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # which raises, unless that one will do
        attend(query, keys, values, heads=2)
