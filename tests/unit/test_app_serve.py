"""`pkmodel app`: the port, the extra, and that nothing of it is loaded before it is asked for."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pkmodel.app import serve
from pkmodel.cli.commands import app
from pkmodel.errors import InputError


def test_the_next_free_port_is_taken_unless_one_is_named() -> None:
    with socket.socket() as taken:
        taken.bind((serve.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="in use"):
            serve.free_port(port)
    with pytest.raises(InputError, match="1 to 65535"):
        serve.free_port(0)
    assert serve.PORT <= serve.free_port(None) < serve.PORT + serve.TRIES


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shiny", None)
    with pytest.raises(InputError, match=r'pip install "pkmodel\[app\]"') as caught:
        CliRunner().invoke(app, ["app", "--no-browser"], catch_exceptions=False, standalone_mode=False)
    assert caught.value.exit_code == 2


def test_the_command_line_starts_without_it() -> None:
    code = "import sys, pkmodel.cli.commands; print([name for name in ('shiny', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
