import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextpixel.data.catalogue import CATALOGUE, load_cifar
from nextpixel.data.dataset import DataSet
from nextpixel.data.download import SOURCES, Source
from nextpixel.data.readers import batches
from nextpixel.data.readers.batches import ARCHIVE, FOLDER
from nextpixel.errors import BadInput

PYTHON_FOLDER = "cifar-10-batches-py"
TRAIN_FILES, TEST_FILE = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
LABELS = np.arange(12) % 10
RECORDS = np.concatenate([LABELS[:, None].astype(np.uint8), IMAGES.reshape(12, -1)], axis=1)
FILES = {name: RECORDS[2 * k : 2 * k + 2].tobytes() for k, name in enumerate((*TRAIN_FILES, TEST_FILE))}
SIZE = 2 * 3073


def packed(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    """A gzipped archive like the published one; `extra` are members without content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in {f"{FOLDER}/readme.html": b"<html>", **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member)
    return gzip.compress(stream.getvalue(), mtime=0)


def inside(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


WHOLE = packed(inside(FILES))


def source(*mirrors: str, content: bytes = WHOLE) -> Source:
    return replace(SOURCES["cifar10"], mirrors=mirrors, hashes={ARCHIVE: hashlib.sha256(content).hexdigest()})


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "IMAGES", 2)


def root_with(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "root").mkdir(exist_ok=True)
    (tmp_path / "root" / ARCHIVE).write_bytes(content)
    return tmp_path / "root"


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A data root with the six files."""
    folder = tmp_path / "root" / FOLDER
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return tmp_path / "root"


def assert_whole(root: Path | None, given: Source) -> None:
    found = load_cifar(given, root)
    assert (found.spec.shape, found.spec.levels, found.classes) == ((3, 32, 32), 256, 10)
    assert found.validation is None
    assert found.test is not None
    assert (found.train.images == IMAGES[:10]).all()
    assert (found.test.images == IMAGES[10:]).all()
    assert found.train.labels is not None
    assert found.test.labels is not None
    assert found.train.labels.tolist() == LABELS[:10].tolist()
    assert found.test.labels.tolist() == LABELS[10:].tolist()
    assert found.train.images.flags.writeable  # torch warns of others


def test_the_folder_is_read(unpacked: Path) -> None:
    assert_whole(unpacked, source())


@pytest.fixture(params=[0, 2, 5])
def pickled(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A data root with the six files of torchvision, by several protocols."""
    folder = tmp_path / "root" / PYTHON_FOLDER
    folder.mkdir(parents=True)
    for number, name in enumerate((*TRAIN_FILES, TEST_FILE)):
        piece = slice(2 * number, 2 * number + 2)
        content = {
            b"batch_label": b"training batch 1 of 5",
            b"labels": LABELS[piece].tolist(),
            b"data": IMAGES[piece].reshape(-1, 3072),
            b"filenames": [b"a.png", b"b.png"],
        }
        (folder / name.removesuffix(".bin")).write_bytes(pickle.dumps(content, request.param))
    return tmp_path / "root"


def test_the_folder_of_torchvision_is_read(pickled: Path) -> None:
    assert_whole(pickled, source())
    assert source().whereabouts(pickled) == f"in the data root, {pickled / PYTHON_FOLDER}"
    (pickled / PYTHON_FOLDER / "test_batch").unlink()
    with pytest.raises(BadInput, match=rf"{PYTHON_FOLDER}/test_batch is no batch .* \(No such file"):
        load_cifar(source(), pickled)


class Malicious:
    """Whoever loads it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("victim"),)


def test_a_pickle_is_not_run(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pickled)
    batch = pickled / PYTHON_FOLDER / "data_batch_1"
    whole = batch.read_bytes()
    batch.write_bytes(pickle.dumps({b"labels": [1, 2], b"data": IMAGES[:1], b"extra": Malicious()}))
    with pytest.raises(BadInput, match="data_batch_1 has 2 labels for 3072 levels"):
        load_cifar(source(), pickled)
    assert [path.name for path in pickled.iterdir()] == [PYTHON_FOLDER]
    for content in (
        b"",
        whole[:1],
        whole[:100],
        whole[:-1],
        pickle.dumps({b"labels": [0, 1, 2], b"data": IMAGES[:1, 1:]}),
    ):
        batch.write_bytes(content)
        with pytest.raises(
            BadInput, match=r"data_batch_1 (is no batch of CIFAR, or a damaged|has no data|has 3 labels for)"
        ):
            load_cifar(source(), pickled)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_archive_is_read(tmp_path: Path, zipped: bool) -> None:
    assert_whole(root_with(tmp_path, WHOLE if zipped else gzip.decompress(WHOLE)), source())


def test_the_archive_is_downloaded_once(cache: Path, serve: Callable[[dict[str, bytes]], str]) -> None:
    files = {ARCHIVE: WHOLE}
    address = serve(files)
    assert_whole(None, source(f"{address}absent/", f"{address}good/"))
    files.clear()
    assert_whole(None, source(f"{address}good/"))
    assert [path.name for path in (cache / "nextpixel").rglob("*")] == [ARCHIVE]


@pytest.mark.parametrize(
    ("manner", "sentence"),
    [("absent", "answered 404"), ("wrong", "sent a file with another SHA-256"), ("cut", "cut the transfer off")],
)
def test_a_failed_download_is_told_and_leaves_nothing(
    cache: Path, serve: Callable[[dict[str, bytes]], str], manner: str, sentence: str
) -> None:
    mirror = f"{serve({ARCHIVE: WHOLE})}{manner}/"
    with pytest.raises(BadInput, match=rf"{ARCHIVE} could not be downloaded: {mirror} {sentence}; put it in NEXTPIX"):
        load_cifar(source(mirror), None)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_archive_that_is_published_wrong_is_told(serve: Callable[[dict[str, bytes]], str]) -> None:
    content = packed(inside({name: FILES[name] for name in TRAIN_FILES}))
    with pytest.raises(BadInput, match=rf"{ARCHIVE}/{TEST_FILE} is missing or damaged: 0 bytes"):
        load_cifar(source(f"{serve({ARCHIVE: content})}good/", content=content), None)


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


NO_FILE = f"/data_batch_1.bin is missing or damaged: 0 bytes, not {SIZE}"
NO_PLAIN_FILE = f"/test_batch.bin is missing or damaged: 0 bytes, not {SIZE}"
OTHERS = {name: content for name, content in FILES.items() if name != TEST_FILE}
BAD = {
    "not in a folder": (packed(FILES), NO_FILE),
    "another folder": (packed({f"other/{name}": FILES[name] for name in FILES}), NO_FILE),
    "deeper": (packed({f"{FOLDER}/deeper/{name}": FILES[name] for name in FILES}), NO_FILE),
    "up and back": (packed({f"{FOLDER}/../{FOLDER}/{name}": FILES[name] for name in FILES}), NO_FILE),
    "empty": (packed({}), NO_FILE),
    "link": (packed(inside(OTHERS), special(f"{FOLDER}/test_batch.bin", tarfile.SYMTYPE)), NO_PLAIN_FILE),
    "hard link": (packed(inside(OTHERS), special(f"{FOLDER}/test_batch.bin", tarfile.LNKTYPE)), NO_PLAIN_FILE),
    "pipe": (packed(inside(OTHERS), special(f"{FOLDER}/test_batch.bin", tarfile.FIFOTYPE)), NO_PLAIN_FILE),
    "folder": (packed(inside(OTHERS), special(f"{FOLDER}/test_batch.bin", tarfile.DIRTYPE)), NO_PLAIN_FILE),
    "short": (packed(inside(FILES | {"test_batch.bin": b"12"})), NO_PLAIN_FILE),
    "label": (packed(inside(FILES | {"test_batch.bin": b"\x0b" * SIZE})), " has 10 class names for labels up to 11"),
    "text in gzip": (gzip.compress(b"I am no archive." * 100), " is a damaged archive"),
    "text": (b"I am no archive." * 100, " is a damaged archive"),
    "nothing": (b"", " is a damaged archive"),
    "cut at the end": (WHOLE[:-4], " is a damaged archive"),
    "cut early": (WHOLE[:1000], " is a damaged archive"),
    "cut without gzip": (gzip.decompress(WHOLE)[:20_000], " is a damaged archive"),
    "wrong sum": (WHOLE[:-8] + b"????" + WHOLE[-4:], " is a damaged archive"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_archive_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    root = root_with(tmp_path, content)
    with pytest.raises(BadInput, match=rf"{ARCHIVE}({sentence})"):
        load_cifar(source(), root)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [ARCHIVE, "root"], "something was unpacked"


@pytest.mark.parametrize("name", [f"../{FOLDER}/x", "/etc/x", f"{FOLDER}/../../x"])
def test_what_else_is_in_an_archive_is_never_unpacked(tmp_path: Path, name: str) -> None:
    assert_whole(root_with(tmp_path, packed({name: b"x" * SIZE, **inside(FILES)})), source())
    assert sorted(path.name for path in tmp_path.rglob("*")) == [ARCHIVE, "root"]


def test_a_damaged_byte_is_one_sentence_or_nothing(tmp_path: Path) -> None:
    zeros = {name: bytes(SIZE) for name in FILES}  # a small archive, so that every part of it is hit
    whole = packed(inside(zeros))
    sentences: list[str] = []
    for place in range(len(whole)):
        root = root_with(tmp_path, whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            load_cifar(source(), root)
        except BadInput as error:
            sentences.append(str(error))
    assert len(sentences) > len(whole) // 2
    assert all(ARCHIVE in sentence for sentence in sentences)


@pytest.mark.parametrize("kept", [0, 3072, SIZE - 1, SIZE + 1])
def test_a_file_of_another_length(unpacked: Path, kept: int) -> None:
    (unpacked / FOLDER / "data_batch_3.bin").write_bytes(bytes(kept))
    with pytest.raises(BadInput, match=rf"data_batch_3\.bin is missing or damaged: {kept} bytes, not {SIZE}"):
        load_cifar(source(), unpacked)


def test_a_file_that_is_missing(unpacked: Path) -> None:
    (unpacked / FOLDER / "test_batch.bin").unlink()
    with pytest.raises(BadInput, match=r"test_batch\.bin is damaged or cannot be read \(No such file"):
        load_cifar(source(), unpacked)


def test_a_label_out_of_range(unpacked: Path) -> None:
    (unpacked / FOLDER / "data_batch_2.bin").write_bytes(b"\x0a" * SIZE)
    with pytest.raises(BadInput, match=rf"{FOLDER} has 10 class names for labels up to 10"):
        load_cifar(source(), unpacked)


def test_grey_is_the_brightness(unpacked: Path) -> None:
    parts = load_cifar(source(), unpacked)
    assert parts.test is not None
    found = CATALOGUE["cifar10-grey"].change(DataSet("x", parts.spec, 10, parts.train, parts.test, parts.test))
    assert found.spec.shape == (1, 32, 32)
    red, green, blue = IMAGES[10:].astype(int).swapaxes(0, 1)
    assert (found.test.images[:, 0] == (19_595 * red + 38_470 * green + 7_471 * blue + 32_768) // 65_536).all()
    assert found.train.labels is not None
    assert found.train.labels.tolist() == LABELS[:10].tolist()


def test_where_it_is(unpacked: Path, tmp_path: Path, cache: Path) -> None:
    assert source().whereabouts(unpacked) == f"in the data root, {unpacked / FOLDER}"
    assert source().whereabouts(None) == "not here yet, to be downloaded when first opened"
    assert (
        source().whereabouts(root_with(tmp_path / "root", WHOLE)) == f"in the data root, {tmp_path / 'root' / 'root'}"
    )
    (cache / "nextpixel").mkdir(parents=True)
    (cache / "nextpixel" / ARCHIVE).write_bytes(WHOLE)
    assert source().whereabouts(None) == f"in the cache, {cache / 'nextpixel'}"


def test_the_published_source() -> None:
    assert all(mirror.endswith("/") for mirror in SOURCES["cifar10"].mirrors)
    assert len(bytes.fromhex(SOURCES["cifar10"].hashes["cifar-10-binary.tar.gz"])) == 32
