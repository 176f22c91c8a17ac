"""Commands in processes of their own, forked from one that has imported what they need: 0.3 s in the place of 3 to 6.

What is asked is what follows `python`: `-m MODULE` or a script, and its words. Several processes are told what torchrun
would tell them; where torchrun itself is what matters (it ends all as soon as one ends), `-m torch.distributed.run` is
torchrun, whose processes are forked too. Needs OMP_NUM_THREADS=1: a process with threads cannot be forked.
"""

import atexit
import contextlib
import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, NoReturn

IMPORTED = (
    "nextpixel.cli.train",
    "nextpixel.cli.drawing",
    "nextpixel.plots",
    "lightning_fabric.strategies.ddp",
    "torch.distributed.run",
    "torch.utils.tensorboard",
    "sklearn.datasets",
)
SECONDS = 120  # then it is killed
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Fork:
    """A process forked from this one, in a group of its own, with the methods of a Popen that are needed."""

    returncode: int | None = None

    def __init__(self, main: Callable[[], object], said: Sequence[IO[Any]] = ()) -> None:
        """What it does; where it writes its output and its errors, if not where this one does."""
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _do(main, said)
        with contextlib.suppress(OSError):
            os.setpgid(self.pid, self.pid)

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        return self._ended(os.WNOHANG)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; TimeoutExpired if it has not ended after as many seconds."""
        status = self._ended(os.WNOHANG if timeout is not None else 0)
        end = time.monotonic() + (timeout or 0)
        while status is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0)
            time.sleep(0.02)
            status = self.poll()
        return status

    def _ended(self, option: int) -> int | None:
        if self.returncode is None:
            process, status = os.waitpid(self.pid, option)
            self.returncode = os.waitstatus_to_exitcode(status) if process else None
        return self.returncode


def _do(main: Callable[[], object], said: Sequence[IO[Any]]) -> NoReturn:
    """Do it and end as Python does, but leave the memory as it is: to free what is shared would copy all of it."""
    status: Any = 1
    atexit._clear()  # what the other process has to do at its end, such as to delete its folders
    try:
        os.setpgid(0, 0)
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for file, descriptor in zip(said, (1, 2), strict=False):
            os.dup2(file.fileno(), descriptor)
        status = main() or 0
    except SystemExit as error:
        status = error.code or 0
    except BaseException as error:  # noqa: BLE001 (whatever it is, Python's own end is not for a fork)
        sys.excepthook(type(error), error, error.__traceback__)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


def torchrun(*words: str) -> object:
    """Be torchrun, with these words; its processes are forked from this one."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    def popen(self: object, arguments: Sequence[str], environment: Mapping[str, str]) -> Fork:
        _, unbuffered, *asked = arguments  # python -u
        assert unbuffered == "-u"
        return Fork(partial(_unbuffered, asked, environment))

    subprocess_handler.SubprocessHandler._popen = popen  # pyright: ignore[reportAttributeAccessIssue]
    return run.main([*words])


def _unbuffered(words: Sequence[str], environment: Mapping[str, str]) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=True)  # pyright: ignore[reportAttributeAccessIssue]
    _python(words, environment)


def _python(words: Sequence[str], environment: Mapping[str, str], folder: str | None = None) -> object:
    """Be `python`, with these words."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder or ".")
    if words[:2] == TORCHRUN[:2]:
        return torchrun(*words[2:])
    if words[0] == "-m":
        sys.argv, sys.path[0] = [*words[1:]], str(Path.cwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [*words], str(Path(words[0]).parent)
        runpy.run_path(words[0], run_name="__main__")
    return None


class Command:
    """A command that has been started: of several processes, all of them."""

    returncode: int | None = None

    def __init__(
        self,
        words: Sequence[object],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        processes: int = 1,
        network: str | None = None,
    ) -> None:
        """What follows `python`, the folder, the environment, how many, and the network namespace, as `ip` calls it."""
        given = dict(os.environ if env is None else env)
        self.words, self.network = [*map(str, words)], network
        self._folder = tempfile.TemporaryDirectory()
        self._said = [str(Path(self._folder.name, name)) for name in ("out", "err")]
        with socket.create_server(("127.0.0.1", 0)) as free:
            ranks = [*ranked(processes, free.getsockname()[1])]
        request = {"words": self.words, "cwd": str(cwd or Path.cwd()), "said": self._said, "network": network}
        self._processes = _asked(request | {"env": [given | rank for rank in ranks]})
        self.pid = self._processes[0]

    def communicate(self) -> tuple[str, str]:
        """Its output and what it said beside, when it has ended."""
        self.returncode = max(_asked({"wait": self._processes}), key=abs)
        with self._folder:
            out, err = (Path(path).read_text() for path in self._said)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it to the first process, unless that has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


def run(words: Sequence[object], **how: Any) -> subprocess.CompletedProcess[str]:
    """As subprocess.run with the output captured; of several processes, that of all of them, and the worst status."""
    command = Command(words, **how)
    out, err = command.communicate()
    return subprocess.CompletedProcess(command.words, command.returncode or 0, out, err)


def ranked(processes: int, port: int) -> list[dict[str, str]]:
    """What each of several processes has in its environment."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"}
    place |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes))
    ranks = [place | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    return ranks if processes > 1 else [{}]


def children(process: int) -> list[int]:
    """The processes that one has started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=True)
    return sorted(int(line) for line in found.stdout.split())


def _asked(request: Mapping[str, Any]) -> list[int]:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[str]:
    settings, pipe = {**os.environ, "OMP_NUM_THREADS": "1"}, subprocess.PIPE
    process = subprocess.Popen([sys.executable, __file__], text=True, env=settings, stdin=pipe, stdout=pipe)
    atexit.register(process.communicate)  # without more requests it ends
    return process


def _serve() -> None:
    """Fork for each request and tell the processes' numbers, or wait for some and tell how they have ended."""
    for module in IMPORTED:
        __import__(module)
    gc.freeze()
    forks: dict[int, Fork] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = [forks.pop(process).wait() for process in request["wait"]]
        else:
            started = [Fork(partial(_asked_for, request, environment)) for environment in request["env"]]
            forks |= {fork.pid: fork for fork in started}
            answer = [*forks][-len(started) :]
        print(json.dumps(answer), flush=True)


def _asked_for(request: Mapping[str, Any], environment: Mapping[str, str]) -> object:
    signal.alarm(SECONDS)
    if request["network"]:
        with Path("/run/netns", request["network"]).open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
    for file, descriptor in zip(["/dev/null", *request["said"]], range(3), strict=True):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    return _python(request["words"], environment, request["cwd"])


if __name__ == "__main__":
    _serve()
