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
from nextpixel.tiles import Picture, cut, join, packed, unpacked

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


@pytest.mark.parametrize("name", ["exact", "exact-logistic", "exact-pixelcnnpp", "exact-pixelsnail"])
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


def heads(made: bytes) -> list[int]:
    """Where the blocks begin."""
    return [at for at in range(len(made)) if made.startswith(codec.MARK, at)]


def test_a_changed_length_loses_its_own_block_only(
    twin: npx.Autoregressive, x: torch.Tensor, made: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "BLOCK", 3 * twin.spec.subpixels)
    second = heads(made)[1]
    others = torch.cat([x[:3], x[6:]])
    for at in range(second, second + 21):  # any byte of its head
        changed = bytearray(made)
        changed[at] ^= 8
        assert torch.equal(npx.decompress(twin, bytes(changed), recover=True), others)
    longer = made[: second + 30] + b"!" + made[second + 30 :]
    shorter = made[: second + 30] + made[second + 33 :]
    for changed in (longer, shorter):
        assert torch.equal(npx.decompress(twin, changed, recover=True), others)
        with pytest.raises(npx.BadInput, match="is damaged"):
            npx.decompress(twin, changed)
    for more in (b"!", codec.MARK, made):
        assert torch.equal(npx.decompress(twin, made + more, recover=True), x)
    third = heads(made)[2]
    swapped = made[: heads(made)[0]] + made[third:] + made[heads(made)[0] : third]
    assert torch.equal(npx.decompress(twin, swapped), x), "blocks say which images they have"


@pytest.mark.parametrize(
    "spec",
    [npx.ImageSpec(3, 8, 8, levels=256), npx.ImageSpec(1, 8, 8), npx.ImageSpec(2, 8, 8, levels=300)],
    ids=str,
)
def test_what_a_png_stores_in_less_is_a_png(spec: npx.ImageSpec) -> None:
    """A model that learnt nothing, and images that are all alike."""
    model = npx.exact(
        npx.build("pixelcnn", spec, "categorical", filters=4, layers=1), torch.zeros(2, *spec.shape).long()
    )
    x = (torch.arange(8) * (spec.levels - 1) // 7).expand(100, *spec.shape).contiguous()
    made = npx.compress(model, x, verify=False)
    assert len(made) < 1000
    assert torch.equal(npx.decompress(model, made), x)
    (at,) = heads(made)
    for size in (2, 2**20):  # it says that it has other images: nothing is made of them
        big = npx.compress(model, x[:2], verify=False)[:at] + codec._block(codec.PNG, 0, 0, codec._png(model, x[:size]))
        with pytest.raises(npx.BadInput, match="is damaged"):
            npx.decompress(model, big)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("own", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 6), (6, 5), (13, 11)])
def test_pictures_of_any_size_are_tiles_and_come_back(channels: int, own: int, size: tuple[int, int]) -> None:
    spec, picture = npx.ImageSpec(channels, 5, 6, levels=256), Picture(0, *size, own, "a.png")
    x = torch.randint(256, (own, *size))
    tiles = cut(x, spec)
    assert tiles.shape == (np.prod(picture.grid(spec)), *spec.shape)
    assert torch.equal(tiles[0, 0, : size[0], : size[1]], x[0, :5, :6]), "the first tile is the corner at the top left"
    assert (tiles[-1, -1, -1, -1] == x[-1, -1, -1]).all(), "what is beyond the edge is its last level"
    assert torch.equal(join(tiles, picture, spec), x)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "/a.png",
        "a/../b.png",
        "a//b.png",
        "a.py",
        "a\\b.png",
        "C:a.png",
        "a\0.png",
        "./a.png",
        "a\n.png",
        "",
    ],
)
def test_names_stay_in_the_folder(name: str) -> None:
    spec = npx.ImageSpec()
    with pytest.raises(npx.BadInput, match="is none for a file on every machine"):
        packed([Picture(0, 1, 1, 1, name)])
    assert unpacked(zlib.compress(b"0 1 1 1 " + name.encode()), spec, 1) is None
    good = packed([Picture(-5, 30, 28, 1, "b/ä.PNG")])
    assert unpacked(good, spec, 2) == [Picture(-5, 30, 28, 1, "b/ä.PNG")]
    assert unpacked(good, spec, 3) is None
    with pytest.raises(npx.BadInput, match="stands for two pictures"):
        packed([Picture(0, 1, 1, 1, "a.png")] * 2)


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
    head = codec._sealed(codec._HEAD.pack(codec.MAGIC, codec.VERSION, digest(twin), count))
    signed = codec._sealed(struct.pack("<4sBIII", codec.MARK, 0, 0, 2**32 - 4, 0))
    for rest in (b"", signed, codec._block(0, 2**32 - 1, 0, b""), codec._block(0, 0, 0, b""), bytes(12)):
        if count == 0 and not rest:
            continue
        with pytest.raises(npx.BadInput, match="is damaged"):
            npx.decompress(twin, head + rest)


ATTACKS = {
    "parent": "its list of pictures is not about its images",
    "absolute": "its list of pictures is not about its images",
    "program": "its list of pictures is not about its images",
    "twice": "its list of pictures is not about its images",
    "larger-than-its-tiles": "its list of pictures is not about its images",
    "list-bomb": "its list of pictures is not about its images",
    "list-without-end": "the block from image 0 on is cut off",
    "endless-images": "blocks of images are missing",
    "endless-block": "are no block",
    "png-bomb": "block 0 was changed",
    "png-of-others": "block 0 was changed",
    "block-twice": "is none of its own, or damaged",
    "unknown-kind": "is none of its own, or damaged",
    "marks": "are no block",
    "out-of-place": "is none of its own, or damaged",
}


def test_every_attack_is_expected() -> None:
    assert {path.stem for path in (GOLDEN.parent / "attacks").glob("*.npxc")} == ATTACKS.keys()


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_containers_get_their_sentence(twin: npx.Autoregressive, name: str) -> None:
    """Made by `python tests/attacks/attacks.py`."""
    data = (GOLDEN.parent / "attacks" / f"{name}.npxc").read_bytes()
    with pytest.raises(npx.BadInput, match=f"The container is damaged: .*{ATTACKS[name]}"):
        npx.decompress(twin, data)
    found = codec.opened(twin, data, recover=True)
    assert not found.pictures or all(".." not in one.name for one in found.pictures)
    assert found.damage
