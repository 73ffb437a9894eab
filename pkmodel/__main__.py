"""``python -m pkmodel``."""

from pkmodel.cli import entry

entry()
