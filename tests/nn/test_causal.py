import pytest
import torch

from nextpixel.nn.causal import PixelsLeft, Place, RowsAbove, one_by_one, split


def test_features_are_split_in_order_and_evenly() -> None:
    assert split(6, 3) == (0, 0, 1, 1, 2, 2)
    assert [split(128, 3).count(colour) for colour in range(3)] == [43, 43, 42]
    assert split(5, 1) == (0,) * 5


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("reach", [1, 3])
def test_rows_above_step_by_rows(reach: int, strict: bool) -> None:
    layer = RowsAbove(2, 5, reach=reach, strict=strict).double()
    x = torch.randn(3, 2, 6, 4, dtype=torch.float64)
    whole, past = layer(x), layer.init_state(3, 4)
    for row in range(6):
        # A strict layer's row comes from the rows above: at first from none.
        newest = (
            x[:, :, row : row + 1] if not strict else x[:, :, row - 1 : row] if row else torch.zeros_like(x[:, :, :1])
        )
        torch.testing.assert_close(layer.step(newest, past), whole[:, :, row : row + 1])


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("colours", [1, 2, 3])
@pytest.mark.parametrize("reach", [1, 2])
def test_pixels_left_step_by_colours(reach: int, colours: int, strict: bool) -> None:
    inputs, outputs = split(7, colours), split(5, colours) * 2
    layer = PixelsLeft(inputs, outputs, reach=reach, strict=strict).double()
    x = torch.randn(3, 7, 1, 4, dtype=torch.float64)
    whole, state = layer(x), layer.init_state(3, 4)
    for column in range(4):
        for colour in range(colours):
            new = x[:, [i for i, owner in enumerate(inputs) if owner == colour], 0, column]
            place = Place(column, colour)
            made = layer.step(None if strict else new, place, state)
            torch.testing.assert_close(made, whole[:, state.packed[colour].rows, 0, column])
            if strict:
                state.observe(new, place)


def test_forbidden_taps_are_cropped_where_they_form_a_rectangle() -> None:
    assert RowsAbove(1, 1, reach=3, strict=True).weight.shape[2:] == (3, 7)
    assert RowsAbove(1, 1, reach=2).weight.shape[2:] == (3, 5)
    assert PixelsLeft((0,), (0,), reach=3, strict=True).weight.shape[2:] == (1, 3)
    assert PixelsLeft((0,), (0,), reach=3).mask is None
    assert PixelsLeft((0, 1), (0, 1), reach=3, strict=True).mask is not None


def test_gain_is_the_standard_deviation_of_the_output() -> None:
    layer = one_by_one(400, 400, gain=2.0)
    assert float(layer(torch.randn(1, 400, 20, 20)).std().detach()) == pytest.approx(2, rel=0.05)
