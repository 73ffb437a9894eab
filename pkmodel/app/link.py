"""The page as the end of a link, and back: JSON, packed, in letters that an address may hold."""

from __future__ import annotations

import base64
import binascii
import json
import zlib

from pkmodel.app.state import State, checked
from pkmodel.errors import InputError, Problem, shown

#: The longest text of a link that is looked at, and the largest page that it may unpack to.
MOST_LETTERS, MOST_BYTES = 16_000, 64_000


def packed(state: State) -> str:
    """A page as the value of ``s`` in a link; only what differs from a fresh page is in it."""
    tree = state.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")


def unpacked(text: str) -> State:
    """The page of a link. Raises InputError for what is no page of ours: too long, damaged, or with illegal values."""
    refused = InputError(Problem(f"a link that says {shown(text, 30)}", "a link that this page made", path="link"))
    if len(text) > MOST_LETTERS:
        expected = f"at most {MOST_LETTERS:,} characters"
        raise InputError(Problem(f"a link of {len(text):,} characters", expected, path="link"))
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(raw, MOST_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise refused
        tree = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, zlib.error, binascii.Error, RecursionError):
        raise refused from None
    if not isinstance(tree, dict):
        raise refused
    return checked(tree)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
