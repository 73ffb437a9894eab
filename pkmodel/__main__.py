"""``python -m pkmodel``."""

from pkmodel.cli import main

main()
