"""``pkmodel app``: serve the page on this machine, and on this machine only."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem

if TYPE_CHECKING:
    from shiny import App

HOST, PORT, TRIES = "127.0.0.1", 8765, 40
_STATIC = Path(__file__).parent / "static"


def free_port(wanted: int | None) -> int:
    """The port to serve on: the wanted one, or the first free one from 8765 on. Raises InputError where it is taken."""
    if wanted is not None and not 1 <= wanted <= 65535:
        raise InputError(Problem(str(wanted), "a port from 1 to 65535", "--port"))
    for port in [wanted] if wanted is not None else range(PORT, PORT + TRIES):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except PermissionError:
                raise InputError(Problem(f"port {port}, which needs more rights", "one above 1023", "--port")) from None
            except OSError:
                continue
            return port
    found = f"port {wanted}, which is in use" if wanted is not None else f"ports {PORT} to {PORT + TRIES - 1} in use"
    raise InputError(Problem(found, "a free port", "--port"))


def application() -> App:
    """The page as an application of Shiny. Raises InputError where the extra is not installed."""
    try:
        from shiny import App
    except ImportError:
        raise InputError(
            Problem("no Shiny for Python", 'the extra: pip install "pkmodel[app]"', "pkmodel app")
        ) from None
    from pkmodel.app.guard import OwnPagesOnly
    from pkmodel.app.server import server
    from pkmodel.app.ui import page

    app = App(page(), server, static_assets=_STATIC)
    app.starlette_app.add_middleware(OwnPagesOnly)
    return app


def warm_up() -> None:
    """Compute and draw the fresh page once: kernels are compiled or loaded, libraries imported."""
    from pkmodel.app import compute
    from pkmodel.app.picture import drawn, figure_of
    from pkmodel.app.readouts import readouts
    from pkmodel.app.state import Crowd, State

    state = State(crowd=Crowd(n=100))
    shown = compute.curves(state)
    readouts(shown, state.limits)
    drawn(figure_of(state, shown, compute.bands(state, shown, 100), 800, 480))


def serve(port: int | None = None, *, browser: bool = True) -> None:
    """Serve the page until it is interrupted; the address goes to standard output.

    Raises InputError where the extra is not installed or the port is taken.
    """
    place = free_port(port)
    app = application()
    sys.stderr.write("warming up\n")
    warm_up()
    from shiny import run_app

    sys.stdout.write(f"http://{HOST}:{place}\n")
    sys.stdout.flush()
    sys.stderr.write(f"The page is served on this machine only; Ctrl-C ends it. {NOT_FOR_CARE}\n")
    run_app(app, host=HOST, port=place, launch_browser=browser, log_level="warning")  # type: ignore[misc]  # None only where Python itself runs in a browser
