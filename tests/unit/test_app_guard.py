"""Who the page answers."""

from __future__ import annotations

import pytest

from pkmodel.app.guard import allowed


@pytest.mark.parametrize(
    ("host", "origin", "answered"),
    [
        ("127.0.0.1:8765", None, True),
        ("localhost:8765", "http://localhost:8765", True),
        ("127.0.0.1", "http://127.0.0.1:1234", True),
        ("evil.example", None, False),
        ("127.0.0.1.evil.example", None, False),
        ("", None, False),
        ("127.0.0.1:8765", "https://evil.example", False),
        ("127.0.0.1:8765", "null", False),
        ("127.0.0.1:8765", "http://127.0.0.1@evil.example", False),
    ],
)
def test_hosts_and_origins(host: str, origin: str | None, answered: bool) -> None:
    headers = [(b"Host", host.encode())] + ([] if origin is None else [(b"origin", origin.encode())])
    assert allowed(headers) is answered
