import pytest

import nextpixel as npx
from sight import seen

SPEC = npx.ImageSpec(1, 15, 15, levels=2)


def test_the_middle_of_15x15_sees_all_140_pixels_before_it_through_diagonals() -> None:
    # The last of the row above included, which layers that are all behind a strict convolution miss.
    model = npx.build("diagonal_bilstm", SPEC, "bernoulli", filters=4, head=4, layers=1, first_kernel=3).double()
    sees = seen(model, 9, 5)
    assert int(sees.sum()) == 140
    assert sees.flatten()[:140].all()


def test_row_lstm_sees_a_triangle() -> None:
    model = npx.build("row_lstm", SPEC, "bernoulli", filters=2, head=2, layers=1, first_kernel=3).double()
    sees = seen(model, 9, 5)
    # The first convolution: a row up and a place to either side, or a place to the left. Then the LSTM: a place to the
    # left in the row itself, and with each row up a place to either side.
    for row in range(9):
        up = 9 - row
        columns = [column for column in range(15) if 5 - up - 2 <= column <= 5 + up]
        assert sees[row].nonzero().flatten().tolist() == columns, row
    assert sees[9].nonzero().flatten().tolist() == [3, 4]
    assert not sees[10:].any()


@pytest.mark.parametrize("name", ["row_lstm", "diagonal_bilstm"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"filters": 1}, "filters must be a whole number of at least 2, two features a colour, not 1"),
        ({"layers": -1}, "layers must be a whole number of at least 0, not -1"),
        ({"first_kernel": 4}, "first_kernel must be odd and at least 3, not 4"),
        ({"norm": "layer"}, "has no setting 'norm'; it has filters, layers"),
    ],
)
def test_impossible_settings_are_refused(name: str, arguments: dict, sentence: str) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        npx.build(name, SPEC, **arguments)
