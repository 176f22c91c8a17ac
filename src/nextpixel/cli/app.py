"""`nextpixel app`: samples, completions and what a model sees, in the browser."""

import os
import signal
import socket
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from nextpixel import shipped
from nextpixel.app.work import Desk
from nextpixel.errors import BadInput, needs
from nextpixel.processes import device


def app(options: Namespace) -> None:
    """Serve the page until it is interrupted; uploads and what is made of them are in a folder that goes then."""
    places = {name: Path(name) for name in shipped.names()}
    first = str(options.model)
    try:  # what serves the page would try again and again
        family, kind, *_, address = socket.getaddrinfo(options.host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as some:
            some.bind(address)
    except (OSError, UnicodeError) as error:
        others = "127.0.0.1 is for itself, 0.0.0.0 for all"
        raise BadInput(f"This machine has no address {options.host}; {others}.") from error
    with TemporaryDirectory(prefix="nextpixel-app-") as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}  # read by the import
        with needs("gradio", "app", "nextpixel app"):
            from nextpixel.app.page import LAUNCH, page
        desk = Desk({first: options.model, **places}, device(options.device), folder)
        served = page(desk, first)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _, address, _ = served.launch(server_name=options.host, server_port=options.port, **LAUNCH)
        except OSError as error:
            where = f"port {options.port} of {options.host}" if options.port else options.host
            raise BadInput(f"The app cannot be at {where}: name another --port or --host.") from error
        print(f"The app is at {address} until Ctrl-C.", flush=True)
        served.block_thread()
