"""The documentation, built by Sphinx: ``sphinx-build -W --keep-going -b html docs docs/_build/html``. No network."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "pkmodel"
author = "The pkmodel developers"
copyright = f"2026, {author}. MIT licence"
version = release = version_of("pkmodel")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generate"]
exclude_patterns = ["_build", "notebooks", "images"]
source_suffix = {".md": "markdown"}
root_doc = "index"
suppress_warnings = ["myst.header"]  # pages begin where a reader of the repository would have them begin

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# Links to files of the repository that are not pages are kept as they are written.
myst_url_schemes = {"http": None, "https": None, "mailto": None, "doi": "https://doi.org/{{path}}"}

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
nitpicky = False

html_theme = "furo"
html_title = f"pkmodel {release}"
html_static_path: list[str] = []
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "announcement": "For research and teaching only, never for patient care.",
    "light_css_variables": {"color-brand-primary": "#0b5c8a", "color-brand-content": "#0b5c8a"},
    "dark_css_variables": {"color-brand-primary": "#7cc4ee", "color-brand-content": "#7cc4ee"},
}
