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

    from pkmodel.app.pool import Workers

HOST, PORT, TRIES = "127.0.0.1", 8765, 40
#: Connections that may be open at once, where the system allows it.
_CONNECTIONS = 8192
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


def application(workers: Workers) -> App:
    """The page as an application of Shiny. Raises InputError where the extra is not installed."""
    try:
        from shiny import App
    except ImportError:
        raise InputError(
            Problem("no Shiny for Python", 'the extra: pip install "pkmodel[app]"', "pkmodel app")
        ) from None
    from pkmodel.app.guard import OwnPagesOnly
    from pkmodel.app.isolated import forget
    from pkmodel.app.server import server_of
    from pkmodel.app.ui import page

    forget()
    app = App(page(), server_of(workers), static_assets=_STATIC, test_mode=False)
    app.on_shutdown(workers.close)
    app.starlette_app.add_middleware(OwnPagesOnly, page=app.ui["html"] if isinstance(app.ui, dict) else "")
    return app


def many_connections() -> None:
    """Allow as many open connections as the system lets us: a soft limit of 1024 is soon reached."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, _CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def serve(port: int | None = None, *, browser: bool = True) -> None:
    """Serve the page until it is interrupted; the address goes to standard output.

    Raises InputError where the extra is not installed or the port is taken, RunError where no worker can start.
    """
    from pkmodel.app.pool import Workers

    place = free_port(port)
    workers = Workers()
    app = application(workers)
    from shiny import run_app

    from pkmodel.app.connection import MOST_MESSAGE
    from pkmodel.app.memory import keep

    many_connections()
    sys.stderr.write("warming up\n")
    try:
        workers.start()
        keep()
        sys.stdout.write(f"http://{HOST}:{place}\n")
        sys.stdout.flush()
        sys.stderr.write(f"The page is served on this machine only; Ctrl-C ends it. {NOT_FOR_CARE}\n")
        run_app(  # type: ignore[misc]  # None only where Python itself runs in a browser
            app,
            host=HOST,
            port=place,
            launch_browser=browser,
            log_level="error",
            dev_mode=False,
            ws_max_size=MOST_MESSAGE,
            ws_per_message_deflate=False,  # it goes no further than this machine
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    finally:
        workers.close()
