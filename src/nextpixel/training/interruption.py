"""How a run is asked to stop."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def interruption() -> Generator[threading.Event]:
    """Give an event that the first Ctrl-C, SIGTERM or SIGHUP sets; a second one has its usual effect.

    What whoever started the process had it ignore, as `nohup` does with SIGHUP, stays ignored.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield event
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    usual = {number: signal.getsignal(number) for number in numbers}
    usual = {number: handler for number, handler in usual.items() if handler not in (signal.SIG_IGN, None)}

    def ask(number: int, frame: object) -> None:
        event.set()
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, ask)
    try:
        yield event
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
