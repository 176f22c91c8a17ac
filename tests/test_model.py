"""What a model says of itself."""

import re

import nextpixel as npx
from zoo import Case, every_model


@every_model
def test_a_printed_model_says_what_it_is_and_counts_every_weight(case: Case) -> None:
    model = case.build(case.spec(5, 7))
    head, *layers = repr(model).splitlines()
    assert head.startswith(f"{case.name} of images {model.spec}, likelihood {case.likelihood}")
    assert len(layers) <= 30
    assert all(len(line) < 220 for line in layers)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert head.endswith(f": {total:,} weights")
    single = [int(line.split(": ")[1].split(" ")[0].replace(",", "")) for line in layers if " to " not in line]
    assert sum(single) <= total
    assert any(" to " in line for line in layers) or sum(single) == total


def test_equal_layers_have_one_line() -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 28, 28, 2), "bernoulli", filters=8, blocks=6)
    lines = str(model).splitlines()
    assert len(lines) == 6
    assert re.fullmatch(
        r"  blocks.1 to blocks.5: [\d,]+ weights, TwoStackBlock: above 16x8x2x3, link 16x16x1x1, .*", lines[2]
    )
