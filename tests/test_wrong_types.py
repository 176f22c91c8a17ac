"""Values of a wrong type: tried in a process without the tests' check of annotations, which would catch them first."""

import subprocess
import sys

import pytest

CASES = [
    ("npx.ImageSpec(width=2.5)", "width must be a whole number of at least 1, not 2.5"),
    ("npx.build('gated_pixelcnn', spec, activation='tanh')", "activation must be gate or relu, not 'tanh'"),
    ("npx.build('gated_pixelcnn', spec, stacks=3)", "stacks must be 1 or 2, not 3"),
    ("npx.build('pixelcnn', spec, norm='group')", "norm must be none, layer, positional or batch, not 'group'"),
    ("npx.build('pixelcnn', spec, colours='red')", "colours must be dependent or independent, not 'red'"),
    ("npx.build('pixelvae', spec, condition='both')", "condition must be map or vector, not 'both'"),
    ("npx.build('row_lstm', spec, layers=1.5)", "layers must be a whole number of at least 0, not 1.5"),
    ("npx.Vector(2.5)", "Vector: size must be a whole number of at least 1, not 2.5"),
    ("npx.Both(npx.ClassLabel(2), 3)", "each part must be a Context such as ClassLabel(10), not 3"),
    ("npx.build('gated_pixelcnn', spec, context=10)", "must be a Context such as ClassLabel(10), not 10"),
    ("npx.build('gated_pixelcnn', spec, norm='group')", "norm must be none, layer or positional, not 'group'"),
    ("npx.build('gated_pixelcnn', spec, colours='both')", "colours must be dependent or independent, not 'both'"),
    ("npx.build('gated_pixelcnn', spec, filters=1.5)", "filters must be a whole number of at least 1, not 1.5"),
    ("npx.build('gated_pixelcnn', spec, kernel='3')", "kernel must be odd and at least 1, not '3'"),
    ("npx.build('gated_pixelcnn', spec, dropout='half')", "dropout must be in [0, 1), not 'half'"),
    ("model.sample(2.0)", "must be a whole number of at least 1, not 2.0"),
    ("model.sample(1, seed=1.5)", "not 1.5"),
    ("model.sample(1, temperature='hot')", "above 0 and finite, not 'hot'"),
    ("model.log_prob([[1]])", "must be a tensor of integer levels, not a list"),
    ("model.log_prob(numpy.zeros((1, 1, 3, 3), int))", "must be a tensor of integer levels, not a ndarray"),
    ("model.complete(zeros, [True])", "must be a bool tensor, not a list"),
    ("npx.save(model, 3)", "must be a path, not 3"),
    ("npx.load(None)", "must be a path, not None"),
]

SCRIPT = """
import numpy, torch
import nextpixel as npx
spec = npx.ImageSpec(1, 3, 3)
model = npx.build("gated_pixelcnn", spec, filters=2, blocks=0, head=2)
zeros = torch.zeros(1, 1, 3, 3, dtype=torch.long)
for case in {cases!r}:
    try:
        eval(case)
    except npx.BadInput as error:
        print(error)
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("nothing was raised by", case)
"""


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    script = SCRIPT.format(cases=[case for case, _ in CASES])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("number", "sentence"), list(enumerate(sentence for _, sentence in CASES)))
def test_a_wrong_type_is_one_sentence(sentences: list[str], number: int, sentence: str) -> None:
    assert len(sentences) == len(CASES)
    assert sentence in sentences[number]
