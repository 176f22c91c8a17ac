"""Containers: whatever comes in, the images come back, or a sentence says why not."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel import codec
from nextpixel.codec import digest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def twin() -> npx.Autoregressive:
    model = npx.load(GOLDEN / "exact.safetensors")
    assert isinstance(model, npx.Autoregressive)
    return model


@pytest.fixture(scope="module")
def x(twin: npx.Autoregressive) -> torch.Tensor:
    return twin.sample(7, 1, seed=3)


@pytest.fixture
def made(twin: npx.Autoregressive, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(codec, "BLOCK", 3 * twin.spec.subpixels)
    return npx.compress(twin, x, [1] * len(x))


@pytest.mark.parametrize("name", ["exact", "exact-logistic"])
def test_a_stream_of_an_earlier_release_gives_the_same_images(name: str) -> None:
    """Made once, by `python tests/golden/exact.py`; any machine must read it."""
    expected = torch.from_numpy(np.load(GOLDEN / f"{name}.npz")["images"]).long()
    twin = npx.load(GOLDEN / f"{name}.safetensors")
    assert torch.equal(npx.decompress(twin, (GOLDEN / f"{name}.npxc").read_bytes()), expected)


def test_images_come_back_and_cost_what_the_model_says(twin: npx.Autoregressive) -> None:
    x = twin.sample(200, 1, seed=4)
    made = npx.compress(twin, x, [1] * len(x), verify=False)
    nats = min(-twin.log_prob(x, 1, order=order).sum().item() for order in range(twin.orders))
    assert torch.equal(npx.decompress(twin, made), x)
    labels = len(x) * np.log2(3 * twin.orders)
    assert 8 * len(made) < 1.001 * (nats / np.log(2) + labels) + 8 * 64
    free = npx.compress(twin, x, verify=False)
    assert torch.equal(npx.decompress(twin, free), x)
    assert len(free) <= len(made), "each image has the class that costs least"


def test_no_images_and_many_blocks(twin: npx.Autoregressive, x: torch.Tensor, made: bytes) -> None:
    assert npx.decompress(twin, npx.compress(twin, x[:0])).shape == (0, *twin.spec.shape)
    assert torch.equal(npx.decompress(twin, made), x)


def test_what_is_no_exact_model_and_another_one(twin: npx.Autoregressive, x: torch.Tensor, made: bytes) -> None:
    plain = npx.build("gated_pixelcnn", twin.spec, "categorical", filters=4, blocks=1, head=4)
    with pytest.raises(npx.BadInput, match="nextpixel exact MODEL"):
        npx.compress(plain, x)
    other = npx.exact(plain, x)
    assert digest(other) != digest(twin)
    with pytest.raises(npx.BadInput, match="by another model"):
        npx.decompress(other, made)


def test_a_cut_container_is_named_and_its_whole_blocks_recovered(
    twin: npx.Autoregressive, x: torch.Tensor, made: bytes
) -> None:
    for kept in range(0, len(made), 7):
        with pytest.raises(npx.BadInput, match=r"no container|head of the container|is damaged"):
            npx.decompress(twin, made[:kept])
    assert torch.equal(npx.decompress(twin, made[:-1], recover=True), x[:6])


def test_a_changed_container_never_gives_other_images(twin: npx.Autoregressive, x: torch.Tensor, made: bytes) -> None:
    chance = random.Random(0)
    refused = 0
    for _ in range(30):
        changed = bytearray(made)
        for _ in range(chance.choice((1, 1, 1, 4, 40))):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.3:
            at = chance.randrange(len(changed))
            changed[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
        try:
            assert torch.equal(npx.decompress(twin, bytes(changed)), x)
        except npx.BadInput:
            refused += 1
        try:
            for image in npx.decompress(twin, bytes(changed), recover=True):
                assert bool((image == x).flatten(1).all(1).any())
        except npx.BadInput:
            pass
    assert refused > 27


@pytest.mark.parametrize("count", [0, 1, 2**32 - 1])
def test_hostile_counts(twin: npx.Autoregressive, x: torch.Tensor, count: int) -> None:
    """They say how many images there are, or how long a stream is, and have nothing of it."""
    head = codec._HEAD.pack(codec.MAGIC, codec.VERSION, digest(twin), count)
    head += codec._CRC.pack(zlib.crc32(head))
    for rest in (b"", struct.pack("<III", 2**32 - 1, 2**32 - 4, 0), struct.pack("<III", count, 0, 0), bytes(12)):
        if count == 0 and not rest:
            continue
        with pytest.raises(npx.BadInput, match="is damaged"):
            npx.decompress(twin, head + rest)
