import pytest
import torch
from torch import Tensor

from nextpixel.nn import ops
from nextpixel.nn.scan import scan

SIZES = [(4, 3), (2, 5), (3, 1), (1, 3), (1, 1)]


def placewise(sums: Tensor, kernel: Tensor, *, diagonal: bool) -> Tensor:
    """An LSTM place by place: the features of the places that it looks at, as each has been computed before."""
    batch, _, height, width = sums.shape
    count, features, taps = kernel.shape
    nothing = sums.new_zeros(batch, features)
    done: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for row in range(height):
        for column in range(width):
            arrived = sums.new_zeros(batch, count)
            for tap in range(taps):
                shift = tap - taps // 2
                # A step back and in rows: row r − 1 of a column; of diagonals: row r + shift, its column a step back.
                there = (row + shift, column - shift - 1) if diagonal else (row - 1, column + shift)
                arrived = arrived + done.get(there, (nothing, nothing))[0] @ kernel[:, :, tap].t()
            before = (row, column - 1) if diagonal else (row - 1, column)
            cells = done.get(before, (nothing, nothing))[1]
            done[row, column] = ops.remember(sums[:, :, row, column] + arrived, cells)
    hidden = [done[row, column][0] for row in range(height) for column in range(width)]
    return torch.stack(hidden, 2).unflatten(2, (height, width))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("taps", "diagonal"), [(1, False), (2, False), (3, False), (5, False), (1, True), (2, True)])
def test_all_steps_at_once_are_an_lstm_place_by_place(height: int, width: int, taps: int, diagonal: bool) -> None:
    torch.manual_seed(0)
    given = torch.randn(2, 8, height, width, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(8, 2, taps, dtype=torch.float64, requires_grad=True)
    ours, plainly = scan(given, kernel, diagonal=diagonal), placewise(given, kernel, diagonal=diagonal)
    torch.testing.assert_close(ours, plainly, rtol=0, atol=1e-12)
    slope = torch.randn_like(ours)
    for one, other in zip(
        *(torch.autograd.grad(each, (given, kernel), slope) for each in (ours, plainly)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11)


def test_a_gradient_of_the_gradient_is_refused_not_wrong() -> None:
    given, kernel = torch.randn(2, 8, 3, 3, requires_grad=True), torch.randn(8, 2, 3, requires_grad=True)
    with pytest.raises(NotImplementedError, match="a first gradient only"):
        torch.autograd.grad(scan(given, kernel).sum(), given, create_graph=True)
