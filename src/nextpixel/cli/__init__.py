"""The command `nextpixel`: finds the verb, and turns what a user can mend into one sentence and exit status 2."""

import codecs
import importlib
import keyword
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from nextpixel import processes
from nextpixel.cli.parsers import PARSERS, parse
from nextpixel.errors import BadInput, unknown

VERBS = [words for words in PARSERS if " " not in words]
# A verb is a function; its module, which has the verb's name if it is not here, is imported only when it is asked for.
MODULES = {
    **dict.fromkeys(("evaluate", "check", "score"), "measuring"),
    **dict.fromkeys(("sample", "complete", "plot"), "drawing"),
    **dict.fromkeys(("exact", "compress", "decompress", "info"), "codec"),
    **dict.fromkeys(("export", "push", "import"), "sharing"),
    **dict.fromkeys(("models", "data", "recipes", "doctor"), "listing"),
}
NO_MEMORY = "The memory does not suffice; ask for fewer or smaller images, a smaller batch, or a smaller model."
LACKS_MEMORY = "not enough memory|out of memory|can't allocate memory|calculation overflowed"  # what torch says
LOST = "Another process of this command has ended, or cannot be reached; of a run that was saved, --resume goes on."
TOGETHER = ("train", "evaluate", "sample", "complete", "score", "compress", "decompress")  # by several processes
LISTED = "\n".join(f"  {verb:<12}{str(PARSERS[verb].description).splitlines()[0]}" for verb in VERBS)
USAGE = f"""usage: nextpixel COMMAND …

Image models of the PixelRNN and PixelCNN family: exact likelihoods, samples, completions.

{LISTED}

To begin: nextpixel sample, then nextpixel train FOLDER-OF-PICTURES --minutes 20 --data.size 32.
nextpixel help COMMAND, or COMMAND --help, says more, with examples. Each says more with --verbose, and with
--quiet only results and what goes wrong."""

PLAIN = {ord("±"): "+/-", ord("−"): "-", ord("×"): "x", ord("…"): "..."}
SAID = ("--verbose", "--quiet")  # of any command, at any place


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, that of the process or another, without the program's name.

    The exit status is 0, or 1 when a model fails a check or images are lost, 2 for bad input, 130 when interrupted.
    """
    for name in ("stdout", "stderr"):  # which whoever started us may have closed
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (for as long as the process lives)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # line by line even under `python -u`: what other processes print must not come in between
            stream.reconfigure(errors="nextpixel", line_buffering=True, write_through=False)
    status = _told(arguments)
    processes.leave(status)
    return status


def _told(arguments: Sequence[str] | None) -> int:
    """The exit status, when all is told."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains
        return 0
    except BadInput as error:
        return _refuse(_advised(words, str(error)))
    except OSError as error:
        return _refuse(f"{error.filename or 'The output'} cannot be used: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:  # torch has no MemoryError
        if processes.lost(error):
            return _refuse(LOST)
        if isinstance(error, RuntimeError) and not re.search(LACKS_MEMORY, str(error)):
            raise
        return _refuse(NO_MEMORY)
    except KeyboardInterrupt:
        return 130


def _advised(words: list[str], message: str) -> str:
    """A sentence, with settings of `open_data` as this command has them, or else another one."""
    message = re.sub(r"(?<![\w.-])data\.(\w+)(?==)", partial(_typed, words), message)
    pack = PARSERS["data pack"]
    left = [name for name in re.findall(r"(?<![\w.-])data\.(\w+)(?==)", message) if pack.takes(_option(name))]
    verb = next(word for word in words if word not in SAID)
    if not left or not PARSERS[verb].takes("--data"):
        return message
    options = " and ".join(dict.fromkeys(map(_option, left)))
    return f"{message.rstrip('.')}; nextpixel data pack takes {options}, and --data hf:DIR what it writes."


def _option(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _typed(words: list[str], setting: re.Match[str]) -> str:
    """A setting of `open_data` as this command has it: its own, or a recipe's, which others take from config.yaml."""
    asked, option = [word for word in words if word not in SAID], _option(setting[1])
    own = PARSERS.get(" ".join(asked[:2])) or PARSERS[asked[0]]
    return option if own.takes(option) else f"{'--' if asked[0] == 'train' else ''}{setting[0]}"


def _run(words: list[str]) -> int:
    if "--verbose" in words:
        log = logging.getLogger("nextpixel")
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)
    arguments = [word for word in words if word not in SAID]
    for argument in arguments:
        if "\0" in argument or re.fullmatch(r"(--[\w.-]+=)?\s*", argument):
            raise BadInput(f"The argument {argument!r} is empty, or has a character that no name can have.")
    match arguments:
        case []:
            print(USAGE, file=sys.stderr)
            return 2
        case ["-h" | "--help", *_]:
            print(USAGE)
        case ["--version", *_]:
            from nextpixel import __version__

            print(f"nextpixel {__version__}")
        case ["help", *rest]:
            return _run([*rest, "--help"])
        case ["train"]:
            print(PARSERS["train"].format_usage(), "nextpixel train --help says more.", sep="\n", file=sys.stderr)
            return 2
        case ["train", *rest] if {"-h", "--help"} & {*rest} and (rest[0].startswith("-") or "--minutes" in rest):
            PARSERS["train"].parse_args(["--help"])
        case [verb, *rest] if verb in VERBS:
            with _interruptible():
                asked = rest if verb == "train" else parse(arguments)
                module = importlib.import_module(f"nextpixel.cli.{MODULES.get(verb, verb)}")
            command = vars(module)[f"{verb}_" if keyword.iskeyword(verb) else verb]
            if verb not in TOGETHER:
                if processes.rank() > 0:
                    return 0
                os.environ.pop("RANK", None)  # the first one works alone
            with processes.joined(), Path(os.devnull).open("w") as nowhere:
                processes.loud = nowhere if processes.rank() else sys.stderr
                out = sys.stdout if processes.rank() == 0 else nowhere
                err = nowhere if "--quiet" in words or processes.rank() else sys.stderr
                with redirect_stdout(out), redirect_stderr(err):  # what goes wrong is told outside of this
                    return command(asked) or 0
        case [verb, *_]:
            raise unknown("command", verb, VERBS)
    return 0


@contextmanager
def _interruptible() -> Generator[None]:
    """End at once if interrupted: libraries that are being imported catch a KeyboardInterrupt or print it."""
    usual = signal.getsignal(signal.SIGINT)
    ours = usual is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if ours:  # else our parent's, such as ignored
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, usual)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What a terminal that cannot show a character gets instead of it."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error("nextpixel", _plain)


def _refuse(sentence: str) -> int:
    if processes.first_to_tell():
        shown = re.sub(r"\S{200,}", lambda word: f"{word[0][:100]} …", " ".join(sentence.split()))
        print(f"nextpixel: {shown}", file=sys.stderr)
    return 2
