"""A user's script: pyright in strict mode finds nothing in it, against the installed wheel (test_packaging)."""

from pathlib import Path

from torch import Tensor

import nextpixel as npx


def bits_of(model: npx.Autoregressive, images: Tensor, labels: Tensor) -> float:
    return float(npx.bits_per_dim(model, images, context=labels).mean())


def main(folder: Path) -> None:
    spec = npx.ImageSpec(channels=1, height=6, width=6, levels=2)
    model = npx.build("gated_pixelcnn", spec, "bernoulli", context=npx.ClassLabel(2), filters=4, blocks=1)
    images = model.sample(4, context=1, seed=0)
    labels = images.new_ones(4)
    known = images == 1
    again = model.complete(images, known, context=labels, seed=1)
    nats: Tensor = model.log_prob(images, context=labels)
    file = folder / "model.safetensors"
    npx.save(model, file)
    loaded = npx.load(file)
    if isinstance(loaded, npx.Autoregressive):
        print(f"{bits_of(loaded, again, labels):.3f} {nats.shape[0]}")
    for finding in npx.check(model):
        print(finding.law, finding.verdict)
    data = npx.open_data("digits")
    settings = npx.Training(epochs=1, batch=256, samples=0)
    small = npx.build("pixelcnn", data.spec, filters=4, layers=1)
    run = npx.train(small, data, out=folder / "run", settings=settings)
    evaluation = npx.evaluate(npx.load(run), data.test.take(slice(8)))
    print(f"{evaluation.bits_per_dim:.2f}")
    try:
        npx.load(folder / "nothing")
    except npx.BadInput as error:
        print(error)


if __name__ == "__main__":
    main(Path())
