import pickle
import pickletools
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextpixel.data import MapKind, open_data
from nextpixel.data.readers import pickled
from nextpixel.data.readers.pickled import convert_pickle
from nextpixel.errors import BadInput

PROTOCOLS = range(6)
IMAGES = np.random.default_rng(0).integers(0, 4, (30, 5, 6, 3), dtype=np.uint8)
HOMEWORK = {
    "train": IMAGES[:20],
    "test": IMAGES[20:],
    "train_labels": np.arange(20) % 4,
    "test_labels": np.arange(10) % 4,
}
Dump = Callable[..., Path]

# Python 2 wrote text where there are bytes now: {'train': array([5, 7], uint8)}
PYTHON_2 = (
    b"\x80\x02}U\x05traincnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
    b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x05\x07tbs."
)


@pytest.fixture
def dump(tmp_path: Path) -> Dump:
    def write(value: Any, protocol: int = 4) -> Path:
        path = tmp_path / "own.pkl"
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
        return path

    return write


def read_pickled(path: Path) -> dict[str, np.ndarray]:
    return pickled.read_pickled(path)[0]


def alike(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape and bool((first == second).all())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol(dump: Dump, protocol: int) -> None:
    found = read_pickled(dump(HOMEWORK, protocol))
    assert list(found) == list(HOMEWORK)
    assert all(alike(found[name], array) for name, array in HOMEWORK.items())


def test_maps_are_converted_with_their_images(dump: Dump, tmp_path: Path) -> None:
    maps = {"train_maps": IMAGES[:20, :1, :2, 0], "test_maps": IMAGES[20:, :1, :2, 0]}
    convert_pickle(dump(HOMEWORK | maps), tmp_path / "own.npz")
    data = open_data(tmp_path / "own.npz", levels=4)
    assert data.maps == MapKind(1, 4)
    assert data.test.maps is not None
    assert (data.test.maps[:, 0] == maps["test_maps"]).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        IMAGES > 1,
        IMAGES.astype(">i4"),
        IMAGES.astype(np.float16) / 3,
        np.asfortranarray(IMAGES),
        np.moveaxis(IMAGES, 3, 1),
        IMAGES[::2],
        np.array(7, np.int8),
        np.int64(7),
        np.arange(300, dtype=np.uint64),
    ],
    ids=["bool", "big-endian", "float", "by columns", "axes moved", "strided", "single", "scalar", "long"],
)
def test_every_kind_of_array(dump: Dump, array: np.ndarray, protocol: int) -> None:
    assert alike(read_pickled(dump({"array": array}, protocol))["array"], np.asarray(array))
    assert alike(read_pickled(dump(array, protocol))["images"], np.asarray(array))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickles_of_other_versions_of_numpy(dump: Dump, protocol: int) -> None:
    """The modules were renamed in numpy 2; the names are as long, except in the length that protocol 4 notes."""
    content = pickle.dumps(HOMEWORK, protocol)
    for module in (b"multiarray", b"numeric"):
        content = content.replace(
            bytes([len(b"numpy._core." + module)]) + b"numpy._core." + module,
            bytes([len(b"numpy.core." + module)]) + b"numpy.core." + module,
        ).replace(b"cnumpy._core." + module, b"cnumpy.core." + module)
    # The frames of protocol 4 and 5 say how long they are; ours are read without.
    assert b"numpy._core" not in content
    names = [argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)]
    assert any("numpy.core." in name for name in names)
    assert alike(read_pickled(dump(content))["train"], IMAGES[:20])


def test_pickles_of_python_2(dump: Dump) -> None:
    assert read_pickled(dump(PYTHON_2))["train"].tolist() == [5, 7]


def test_one_array_under_two_names(dump: Dump) -> None:
    found = read_pickled(dump({"train": IMAGES, "test": IMAGES}))
    assert alike(found["train"], found["test"])


def test_what_is_no_array_is_left_out(dump: Dump) -> None:
    plain = {"title": "shapes", "sizes": [1, 2**70, (3.5, None)], "nested": {"a": b"b"}, 5: True, b"train": IMAGES}
    assert list(read_pickled(dump(plain))) == ["train"]


class Malicious:
    """Whoever loads it makes a file."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "wrap", [lambda evil: evil, lambda evil: {**HOMEWORK, "x": evil}, lambda evil: [IMAGES, (evil,)]], ids=range(3)
)
def test_a_malicious_pickle_is_refused_and_not_run(
    dump: Dump, tmp_path: Path, wrap: Callable[[Malicious], Any], protocol: int
) -> None:
    victim = tmp_path / "victim"
    path = dump(wrap(Malicious(subprocess.call, ["touch", str(victim)])), protocol)
    with pytest.raises(BadInput, match=r"own\.pkl .* of which nothing was run") as refusal:
        read_pickled(path)
    module = "commands" if protocol <= 2 else "subprocess"  # what Python 2 called it
    if protocol:  # else it is a damaged one too
        assert f"asks for the global {module}.call, which no array of numbers needs" in str(refusal.value)
    assert not victim.exists()
    pickle.loads(path.read_bytes())  # it would have worked
    assert victim.exists()


def test_globals_with_names_like_ours_are_refused(dump: Dump) -> None:
    for name in (
        "numpy.load",
        "numpy.core.multiarray.fromfile",
        "numpy.ndarray.tofile",
        "_codecs.decode",
        "os.system",
        "builtins.eval",
    ):
        module, _, last = name.rpartition(".")
        with pytest.raises(BadInput, match=f"asks for the global {name}, which"):
            read_pickled(dump(b"\x80\x02c" + f"{module}\n{last}\n".encode() + b"."))
        pair = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, last))
        with pytest.raises(BadInput, match=f"asks for the global {name}, which"):
            read_pickled(dump(b"\x80\x04" + pair + b"\x93."))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            {"a": np.array([{}, []], object)},
            "of which nothing was run .*holds values of numpy's type 'O8', which are no numbers",
        ),
        ({"a": np.array(["text"])}, "type 'U4', which are no numbers"),
        ({"a": np.zeros(3, complex)}, "type 'c16', which are no numbers"),
        ({"a": np.zeros(3, [("x", "u1")])}, "type 'V1', which are no numbers"),
        ({"a": np.array(["2020"], "datetime64[Y]")}, "type 'M8', which are no numbers"),
        ({"a": {1, 2}}, "has the instruction 144, which no array needs"),
        (OrderedDict(a=IMAGES), "asks for the global collections.OrderedDict"),
        ({(1, 2): IMAGES}, "has a dictionary with a key that is a tuple, not a name"),
        ([IMAGES], "own.pkl holds no dictionary of arrays, but a list"),
        (None, "holds no dictionary of arrays, but a NoneType"),
        ({}, "holds no arrays"),
        ({"title": "shapes"}, "holds no arrays"),
        ({"../escape": IMAGES}, r"has an array '\.\./escape' whose name must be a word such as train"),
        ({5: IMAGES}, "has an array 5 whose name must be a word"),
        (b"", "own.pkl is no pickle of arrays or a damaged one, of which nothing was run"),
        (b"I am no pickle.", "is no pickle of arrays or a damaged one"),
        (b"\x89PNG\r\n", "is no pickle of arrays or a damaged one"),
        (b"\x80\x04.", "own.pkl is no pickle of arrays or a damaged one"),
        (b"\x80\x04K\x01)R.", "'int' object is not callable"),
        (b"\x80\x04K\x01K\x02b.", "sets the state of a int as no array does"),
        (b"\x80\x02cnumpy\nndarray\nK\x02\x85R.", "has an array 'images' without values"),
        (
            b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
            "encodes by 'rot13', which no array needs",
        ),
        (
            b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85Rs.",
            "has an array 'a' without values",
        ),
        (
            PYTHON_2.replace(b"U\x02\x05\x07", b"U\x01\x05"),
            "damaged one.*no values for an array of uint8 and shape",
        ),
        (PYTHON_2.replace(b"K\x02\x85", b"J\xff\xff\xff\xff\x85"), "damaged one.*an array without a shape"),
    ],
)
def test_what_cannot_be_understood_is_told(dump: Dump, value: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_pickled(dump(value))


def counted(number: int) -> bytes:
    return b"\x8a\x09" + number.to_bytes(9, "little")


COLLIDING = b"".join(counted(k * (2**61 - 1)) + b"N" for k in range(1, 3))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\x80\x04}K\x01\x85" + b"\x85" * 200_000 + b"Ns.", "a key that is a tuple, not a name"),
        (b"\x80\x04}K\x01" + b"\x94h\x00\x86" * 60 + b"Ns.", "a key that is a tuple, not a name"),
        (b"\x80\x04}(" + COLLIDING + b"u.", "a key that is a int, not a name"),
        (b"\x80\x04(" + COLLIDING + b"d.", "a key that is a int, not a name"),
        (b"\x80\x04(K\x01\x91.", "has the instruction 145, which"),
        (b"\x80\x04\x8f(K\x01\x90.", "has the instruction 144, which"),
        (b"\x80\x04Nr\xff\xff\xff\xff.", "holds no dictionary of arrays, but a NoneType"),
        (b"Np99999999999999999999\n.", "notes something as number 99999999999999999999"),
        (b"\x80\x05\x96\x00\x00\x00\x00\x00\x01\x00\x00.", "damaged one"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged one"),
        (b"\x80\x04\x8b\xff\xff\xff\x7f1.", "damaged one"),
        (b"\x80\x04" + b"(" * 100_000 + b".", "damaged one"),
        (b"\x80\x04X\x01\x00\x00\x00aQ.", "persistent"),
        (b"\x80\x04\x82\x01.", "damaged one"),
        (b"\x80\x05\x97.", "out-of-band"),
        # the state of what stands for arrays would be that of all later ones
        (b"\x80\x02cnumpy\nndarray\n(cnumpy\nndarray\nK\x01)NNNtb.", "sets the state of a type"),
        (b"\x80\x02cnumpy\ndtype\n(cnumpy\ndtype\nK\x01U\x01<tb.", "sets the state of a type"),
        (b"\x80\x02c_codecs\nencode\n}U\x01aNsb.", "sets the state of a method"),
    ],
    ids=range(18),
)
def test_a_few_bytes_neither_hang_nor_fill_the_memory_nor_change_what_comes_later(
    dump: Dump, content: bytes, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_pickled(dump(content))
    assert alike(read_pickled(dump(HOMEWORK))["train"], IMAGES[:20])


def test_a_text_of_which_many_arrays_are_made_is_kept_once(dump: Dump) -> None:
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n)U\x01b\x87R"
    array = made + b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1\x85R\x89h\x00tb"
    text = b"X\x02\x00\x00\x00abq\x000"
    found = read_pickled(dump(b"\x80\x02" + text + b"}(U\x01x" + array + b"U\x01y" + array + b"u."))
    assert found["x"].tolist() == found["y"].tolist() == [97, 98]
    assert np.shares_memory(found["x"], found["y"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_lists_of_numbers_and_words_become_arrays_and_what_is_dropped_is_named(dump: Dump, protocol: int) -> None:
    value = {
        "train": IMAGES,
        "train_labels": list(range(30)),
        "class_names": ["a", "bc"],
        b"words": [b"d"],
        "levels": 4,
        "deep": [[1]],
        "mixed": [1, "a"],
        "floats": [0.5],
        "huge": [2**70],
        "none": None,
        5: True,
    }
    arrays, left = pickled.read_pickled(dump(value, protocol))
    assert {name: array.tolist() for name, array in arrays.items() if name != "train"} == {
        "train_labels": list(range(30)),
        "class_names": ["a", "bc"],
        "words": ["d"],
        "levels": 4,
    }
    assert left == ["deep", "mixed", "floats", "huge", "none", "5"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_is_cut_off(dump: Dump, protocol: int) -> None:
    content = pickle.dumps(HOMEWORK, protocol)
    for kept in range(0, len(content), 7):
        with pytest.raises(BadInput, match=r"own\.pkl"):
            read_pickled(dump(content[:kept]))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_damaged_byte_is_one_sentence_or_nothing(dump: Dump, protocol: int) -> None:
    content = pickle.dumps({"train": IMAGES[:1, :2, :2], "test": IMAGES[1:2, :1, :1]}, protocol)
    sentences: list[str] = []
    for place in range(len(content)):
        for change in (0x01, 0x55):
            try:
                read_pickled(dump(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]))
            except BadInput as error:
                sentences.append(str(error))
    assert sentences
    assert all("own.pkl" in sentence for sentence in sentences)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"own\.pkl is damaged or cannot be read \(No such file"):
        read_pickled(tmp_path / "own.pkl")


def test_what_is_converted_is_a_data_set(dump: Dump, tmp_path: Path) -> None:
    written, left = convert_pickle(dump(HOMEWORK), tmp_path / "own.npz")
    assert left == []
    assert list(written) == list(HOMEWORK)
    data = open_data(tmp_path / "own.npz", levels=4, validation=5)
    assert (data.spec.shape, data.spec.levels, data.classes) == ((3, 5, 6), 4, 4)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [15, 5, 10]
    assert (data.test.images == IMAGES[20:].transpose(0, 3, 1, 2)).all()
    assert data.test.labels is not None
    assert data.test.labels.tolist() == HOMEWORK["test_labels"].tolist()


def test_any_word_may_be_a_name(dump: Dump, tmp_path: Path) -> None:
    convert_pickle(dump({"file": IMAGES, "allow_pickle": IMAGES}), tmp_path / "own.npz")
    assert sorted(np.load(tmp_path / "own.npz").files) == ["allow_pickle", "file"]


def test_a_refused_pickle_writes_nothing(dump: Dump, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        convert_pickle(dump([1]), tmp_path / "own.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["own.pkl"]
