"""How a run is asked to stop."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def interruption() -> Generator[threading.Event]:
    """Give an event that the first Ctrl-C or SIGTERM sets; a second one has its usual effect."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield event
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

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
