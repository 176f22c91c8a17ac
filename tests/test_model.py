"""What a model says of itself."""

import nextpixel as npx
from zoo import Case, every_model


@every_model
def test_a_printed_model_says_what_it_is_and_counts_every_weight(case: Case) -> None:
    model = case.build(case.spec(5, 7))
    _, head, *layers = repr(model).splitlines()
    assert head.startswith(f"  {case.name} of images {model.spec}, likelihood {case.likelihood}")
    assert head.endswith(f": {sum(parameter.numel() for parameter in model.parameters()):,} weights")
    assert any("(backbone)" in line for line in layers)


def test_equal_layers_are_printed_once() -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 28, 28, 2), "bernoulli", filters=8, blocks=6)
    assert "(0-5): 6 x TwoStackBlock(" in str(model)
