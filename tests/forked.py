"""Commands in processes of their own, forked from one that has imported what they need: 0.3 s in the place of 3 to 6.

What is asked is what follows `python`: `-m MODULE` or a script, and its words. Several processes are told what torchrun
would tell them. Where torchrun itself is what matters, start it.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

IMPORTED = (
    "nextpixel.cli.train",
    "nextpixel.cli.drawing",
    "nextpixel.plots",
    "lightning_fabric.strategies.ddp",
    "torch.utils.tensorboard",
    "sklearn.datasets",
)
SECONDS = 120  # then it is killed


def run(
    words: Sequence[object], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, processes: int = 1
) -> subprocess.CompletedProcess[str]:
    """As subprocess.run with the output captured; of several processes, that of all of them."""
    given = dict(os.environ if env is None else env)
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        said = [str(Path(folder, name)) for name in ("out", "err")]
        request: dict[str, Any] = {"words": [*map(str, words)], "cwd": str(cwd or Path.cwd()), "said": said}
        several = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "TORCHELASTIC_RUN_ID": "none"}
        several |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free.getsockname()[1]}
        ranks = [several | {"RANK": rank, "LOCAL_RANK": rank} for rank in range(processes)] if processes > 1 else [{}]
        request["env"] = [given | {name: str(value) for name, value in rank.items()} for rank in ranks]
        free.close()
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = max(json.loads(server.stdout.readline()), key=abs)
        out, err = (Path(path).read_text() for path in said)
    return subprocess.CompletedProcess([*map(str, words)], status, out, err)


@cache
def _server() -> subprocess.Popen[str]:
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}  # a process with threads cannot be forked
    command, pipe = [sys.executable, __file__], subprocess.PIPE
    process = subprocess.Popen(command, text=True, env=settings, stdin=pipe, stdout=pipe)
    atexit.register(process.communicate)  # without more requests it ends
    return process


def _serve() -> dict[str, Any]:
    """Fork for each request and tell how the children end; in a child, return what it is to be."""
    for module in IMPORTED:
        __import__(module)
    gc.freeze()
    for line in sys.stdin:
        request, children = json.loads(line), []
        for env in request["env"]:
            children.append(os.fork())
            if children[-1] == 0:
                return request | {"env": env}
        print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)
    raise SystemExit


def _become(request: dict[str, Any]) -> None:
    signal.alarm(SECONDS)
    for file, descriptor in zip(["/dev/null", *request["said"]], range(3), strict=True):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    first, *rest = request["words"]
    if first == "-m":
        sys.argv, sys.path[0] = rest, request["cwd"]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [first, *rest], str(Path(first).parent)
        runpy.run_path(first, run_name="__main__")


def _end(error: BaseException | None) -> None:
    """End as Python does, but leave the memory as it is: to free what is shared would copy all of it."""
    status = 0 if error is None else 1
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    asked = _serve()
    try:
        _become(asked)
    except BaseException as error:  # noqa: BLE001 (whatever it is, Python's own end is not for a fork)
        _end(error)
    _end(None)
