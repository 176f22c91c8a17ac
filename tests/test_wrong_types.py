"""Values of a wrong type: tried in a process without the tests' check of annotations, which would catch them first."""

import subprocess
import sys

import pytest

CASES = [
    ("Split(numpy.zeros((3, 1, 2, 2)), [0] * 3)", "one for each of the 3 images, not [0, 0, 0]"),
    ("Split(numpy.zeros((3, 1, 2, 2)), torch.zeros(3).long())", "one for each of the 3 images, not tensor([0, 0, 0])"),
    ("Split([numpy.zeros((1, 2, 2))])", "an array, (N, C, H, W), not a list"),
    ("open_data('b.npz', ordinal='False')", "ordinal must be True or False, not 'False'"),
    ("open_data('b.npz', streaming='no')", "streaming must be True or False, not 'no'"),
    ("open_data('b.npz', size=4, channels=True)", "channels must be 1 or 3, not 'True'"),
    (
        "evaluate_bounds(npx.build('gated_pixelcnn', spec, filters=4), None)",
        "the likelihood of a gated_pixelcnn is exact: npx.evaluate measures it",
    ),
    (
        "evaluate_bounds(npx.build('pixelvae', spec, filters=4), None, samples=None)",
        "samples must be a whole number of at least 0, not None",
    ),
    ("npx.ImageSpec(width=2.5)", "width must be a whole number of at least 1, not 2.5"),
    ("npx.ImageSpec(True)", "channels must be a whole number of at least 1, not True"),
    ("npx.ImageSpec(numpy.True_)", "channels must be a whole number of at least 1, not np.True_"),
    ("npx.ImageSpec(numpy.float64(2))", "channels must be a whole number of at least 1, not np.float64(2.0)"),
    ("npx.ImageSpec(ordinal='yes')", "ordinal must be True or False, not 'yes'"),
    ("npx.ClassLabel(numpy.float32(2))", "classes must be a whole number of at least 1, not np.float32(2.0)"),
    (
        "npx.build('gated_pixelcnn', spec, filters=numpy.True_)",
        "filters must be a number, not True",
    ),
    ("npx.build('gated_pixelcnn', spec, filters=numpy.float64(6))", "a whole number of at least 1, not 6.0"),
    ("npx.build('gated_pixelcnn', spec, coordinates='yes')", "coordinates must be True or False, not 'yes'"),
    ("npx.build('pixelvae', spec, equalised=1)", "equalised must be True or False, not 1"),
    ("npx.build('gated_pixelcnn', spec, activation='tanh')", "activation must be gate or relu, not 'tanh'"),
    ("npx.build('gated_pixelcnn', spec, stacks=3)", "stacks must be 1 or 2, not 3"),
    ("npx.build('pixelcnn', spec, norm='group')", "norm must be none, layer, positional or batch, not 'group'"),
    ("npx.build('pixelcnn', spec, colours='red')", "colours must be dependent or independent, not 'red'"),
    ("npx.build('pixelvae', spec, condition='both')", "condition must be map or vector, not 'both'"),
    ("npx.build('row_lstm', spec, layers=1.5)", "layers must be a whole number of at least 0, not 1.5"),
    ("npx.Vector(2.5)", "Vector: size must be a whole number of at least 1, not 2.5"),
    ("npx.Both(npx.ClassLabel(2), 3)", "each part must be a Context such as ClassLabel(10), not 3"),
    ("npx.build('gated_pixelcnn', spec, context=10)", "must be a Context such as ClassLabel(10), not 10"),
    (
        "npx.build('gated_pixelcnn', (1, 28, 28))",
        "The spec must be an ImageSpec such as ImageSpec(1, 28, 28, levels=256), not (1, 28, 28)",
    ),
    (
        "npx.train(npx.build('gated_pixelcnn', spec, filters=4), 'digits', out='run')",
        "The data must be what npx.open_data('digits') gives, not its name",
    ),
    ("npx.build('gated_pixelcnn', spec, norm='group')", "norm must be none, layer or positional, not 'group'"),
    ("npx.build('gated_pixelcnn', spec, colours='both')", "colours must be dependent or independent, not 'both'"),
    ("npx.build('gated_pixelcnn', spec, filters=1.5)", "filters must be a whole number of at least 1, not 1.5"),
    ("npx.build('gated_pixelcnn', spec, kernel='3')", "kernel must be a number, not '3'"),
    ("npx.build('gated_pixelcnn', spec, dropout='half')", "dropout must be a number, not 'half'"),
    ("npx.build('gated_pixelcnn', spec, orders='8')", "orders must be a whole number of at least 1, not '8'"),
    ("model.log_prob(zeros, order='x')", "An order is a whole number below 1, or one for each image, not 'x'"),
    ("model.predict(zeros, order=[0, 'a'])", "An order is a whole number below 1, or one for each image, not [0, 'a']"),
    ("model.complete(zeros, zeros == 1, particles=2.5)", "particles must be a whole number of at least 1, not 2.5"),
    ("model.sample(2.0)", "must be a whole number of at least 1, not 2.0"),
    ("model.sample(1, seed=1.5)", "not 1.5"),
    ("model.sample(1, temperature='hot')", "above 0 and finite, from 1e-30 to 1e30, not 'hot'"),
    ("model.log_prob([[1]])", "must be a tensor of integer levels, not list; torch.as_tensor makes one"),
    ("model.log_prob(numpy.zeros((1, 1, 3, 3), int))", "of integer levels, not ndarray; torch.as_tensor makes one"),
    ("model.complete(zeros, [True])", "must be a bool tensor, not list; torch.as_tensor(known).bool() takes"),
    ("model.complete(zeros, zeros.numpy() > 0)", "must be a bool tensor, not ndarray; torch.as_tensor(known).bool()"),
    ("model.complete(zeros, zeros.byte())", "must be a bool tensor, not uint8; torch.as_tensor(known).bool() takes"),
    ("model.sample(numpy.float64(2))", "must be a whole number of at least 1, not np.float64(2.0)"),
    ("npx.save(model, 3)", "must be a path, not 3"),
    ("npx.ImageSpec(ordinal='yes')", "ImageSpec: ordinal must be True or False, not 'yes'"),
    ("npx.ImageSpec(height=10**6)", "ImageSpec: height must be at most 65536, not 1000000"),
    ("npx.ImageSpec(1, 10**4, 10**4)", "ImageSpec: an image has at most 67108864 sub-pixels, not 100000000"),
    ("npx.ImageSpec(levels=10**30)", "ImageSpec: levels must be at most 2147483648, not 1" + "0" * 30),
    ("npx.ClassLabel(3, names='abc')", "names must be 3 different ones, one a class, not 'abc'"),
    ("npx.ClassLabel(2, names=(1, 2))", "names must be 2 different ones, one a class, not (1, 2)"),
    ("npx.Latent(2, equalised=1)", "Latent: equalised must be True or False, not 1"),
    ("npx.build('gated_pixelcnn', spec, coordinates='yes')", "coordinates must be True or False, not 'yes'"),
    ("npx.build('gated_pixelcnn', spec, stacks=True)", "stacks must be a text or a number, not True"),
    ("npx.build('gated_pixelcnn', spec, norm=['layer'])", "norm must be a text or a number, not ['layer']"),
    ("npx.build('gated_pixelcnn', spec, dropout=False)", "dropout must be a number, not False"),
    ("npx.build('gated_pixelcnn', spec, kernel=999999999)", "kernel must be at most 1048576, not 999999999"),
    ("npx.build('pixelcnn', spec, context=npx.ClassLabel(10**30))", "features of its context; 1048576 is the limit"),
    ("npx.build('pixelcnn', npx.ImageSpec(3, levels=10**9))", "3000000000 numbers for each pixel; 1048576 is the"),
    ("npx.load(None)", "must be a path, not None"),
    (
        "npx.evaluate(model, npx.open_data('digits'))",
        "Images come in a split, such as npx.open_data('digits').test, not digits images: 1,257 train",
    ),
    ("npx.evaluate(model, 'digits')", "Images come in a split, such as npx.open_data('digits').test, not 'digits'"),
    ("npx.evaluate(model, zeros)", "Images come in a split, such as npx.open_data('digits').test, not tensor("),
    ("npx.evaluate(model, None)", "Images come in a split, such as npx.open_data('digits').test, not None"),
    (
        "npx.evaluate('mnist', npx.open_data('digits').test)",
        "A model is what npx.build or npx.load gives, such as npx.load('mnist'), not 'mnist'",
    ),
    (
        "npx.evaluate(model, npx.open_data('digits').test, seed='a')",
        "seed must be a whole number of at least 0, not 'a'",
    ),
    (
        "npx.evaluate(model, npx.open_data('digits').test, seed=1.5)",
        "seed must be a whole number of at least 0, not 1.5",
    ),
    (
        "npx.evaluate(model, npx.open_data('digits').test, images=1.5)",
        "images must be a whole number of at least 1, not 1.5",
    ),
    (
        "npx.evaluate(model, npx.open_data('digits').test, images=True)",
        "images must be a whole number of at least 1, not True",
    ),
    (
        "npx.bits_per_dim('mnist', zeros)",
        "A model is what npx.build or npx.load gives, such as npx.load('mnist'), not 'mnist'",
    ),
    (
        "npx.exact('mnist', zeros)",
        "A model is what npx.build or npx.load gives, such as npx.load('mnist'), not 'mnist'",
    ),
    (
        "npx.score('mnist', zeros)",
        "A model is what npx.build or npx.load gives, such as npx.load('mnist'), not 'mnist'",
    ),
    (
        "npx.score(model, zeros, against='mnist')",
        "A model is what npx.build or npx.load gives, such as npx.load('mnist'), not 'mnist'",
    ),
    ("npx.score(model, zeros, typical='a')", "typical must be the mean bits per dimension of usual images, not 'a'"),
    ("npx.check('mnist')", "A model is what npx.build or npx.load gives, such as npx.load('mnist'), not 'mnist'"),
    ("npx.check(model, seed='a')", "The seed must be a whole number of at least 0 and below 2^63, not 'a'"),
    ("npx.check(model, seed=None)", "The seed must be a whole number of at least 0 and below 2^63, not None"),
    ("npx.load('mnist', device='meta')", "There is no device 'meta' here; there is "),
    ("npx.build('gated_pixelcnn', spec, filters='8')", "filters must be a number, not '8'"),
    ("npx.load('mnist', device=1.5)", "There is no device 1.5 here; there is "),
    ("npx.open_data(None)", "A data set is a name, or the path of a file or folder, not None"),
    ("npx.open_data(numpy.zeros(3))", "A data set is a name, or the path of a file or folder, not array("),
    ("npx.open_data('digits', splits=3)", "splits must be a dictionary of names, not 3"),
    ("npx.build('gated_pixelcnn', spec, ['categorical'])", "There is no likelihood ['categorical']"),
    ("npx.decompress(model, None)", "A container is the bytes that compress made, not None"),
    (
        "npx.train('mnist', npx.open_data('digits'), out='run')",
        "A model is what npx.build or npx.load gives, such as npx.load('mnist'), not 'mnist'",
    ),
    ("npx.train(model, npx.open_data('digits').train, out='run')", "data must be a DataSet, not Split of 1,257 images"),
    (
        "npx.train(model, npx.open_data('digits'), out='run', settings={'epochs': 1})",
        "settings must be a Training, not {'epochs': 1}",
    ),
    (
        "__import__('nextpixel.training').training.Training(start=3)",
        "training.start must be a model's file, run folder or name, not 3",
    ),
    ("npx.train(model, npx.open_data('digits'), out=None)", "out must be a path, not None"),
    ("npx.train(model, npx.open_data('digits'), out='run', resume='no')", "resume must be True or False, not 'no'"),
    ("npx.train(model, npx.open_data('digits'), out='run', config=5)", "config must be what YAML can write, not 5"),
    ("npx.train(model, npx.open_data('digits'), out='run', config={'a': object()})", "config must be what YAML can"),
    ("npx.Training(optimizer='rmsprop', betas=5)", "training.betas must be two numbers, not 5"),
    ("npx.open_data('mnist', root=5)", "root must be a folder, not 5"),
    ("npx.open_data('digits', splits={'train': 5})", "splits must be a dictionary of names, not {'train': 5}"),
    ("npx.open_data('digits', like='x')", "like must be a whole number of at least 2, not 'x'"),
    ("npx.auroc([1.0], ['x'])", "Scores are numbers, (N,) and (M,), not [1.0] and ['x']"),
    ("npx.auroc(None, [1.0])", "Scores are numbers, (N,) and (M,), not None and [1.0]"),
    ("npx.auroc(numpy.ones((2, 2)), [1.0])", "these are (2, 2) and (1,)"),
    ("npx.auroc(numpy.ones(2), 1.0)", "these are (2,) and ()"),
    ("npx.build('pixelvae', spec).decode(None)", "Latent vectors are a tensor of shape (B, 32), not None"),
    ("npx.build('pixelvae', spec).interpolate(None, zeros, 3)", "not None"),
    ("npx.build('pixelvae', spec).complete(None, zeros)", "not None"),
    ("model.sample(1, progress=5)", "progress must be a function, not 5"),
    ("npx.evaluate(model, npx.open_data('digits').test, watch=3)", "watch must be a function, not 3"),
    ("npx.evaluate(model, npx.open_data('digits').test, classes='no')", "classes must be True or False, not 'no'"),
    ("npx.check(model, watch=5)", "watch must be a function, not 5"),
    ("npx.decompress(model, b'', recover='x')", "recover must be True or False, not 'x'"),
]

SAME = [  # numbers of numpy and torch, and what they become
    (made, f"{kind}({number})", number)
    for kind in ("numpy.int64", "numpy.uint8", "numpy.int32", "torch.tensor")
    for made, number in (
        ("npx.ImageSpec({0}, {0}, {0}, levels={0}, ordinal=numpy.True_)", 3),
        ("npx.ClassLabel({0})", 3),
        ("npx.Vector({0})", 3),
        ("npx.Latent({0}, {0})", 3),
        ("npx.Map({0}, {0})", 3),
        ("npx.build('gated_pixelcnn', npx.ImageSpec({0}, 3, 3), filters={0}, blocks={0}, kernel={0}).recipe", 3),
        ("npx.build('gated_pixelcnn', spec, 'categorical', npx.ClassLabel({0}), dropout=numpy.float32(0.5)).recipe", 3),
        ("npx.build('row_lstm', spec, layers={0}, kernel={0}, head={0}).recipe", 3),
        ("npx.build('pixelvae', spec, latent={0}, depth={0}, encoder={0}, free_bits=numpy.float64(1)).recipe", 3),
    )
]

SCRIPT = """
import numpy, torch
import nextpixel as npx
from nextpixel.data import Split, open_data
from nextpixel.evaluation import evaluate_bounds
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

NUMBERS = """
import json, dataclasses, numpy, torch
import nextpixel as npx
spec = npx.ImageSpec(1, 3, 3)
for made, given, number in {cases!r}:
    ours = eval(made.format(number))
    theirs = eval(made.format(given))
    assert ours == theirs, (ours, theirs)
    assert json.dumps(ours, default=dataclasses.asdict) == json.dumps(theirs, default=dataclasses.asdict)
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


def test_numbers_of_numpy_and_torch_become_pythons_own() -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", NUMBERS.format(cases=SAME)], check=True)
