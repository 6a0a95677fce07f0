"""How Sphinx builds the documentation; `make docs` runs it and treats every warning as an error."""

from importlib.metadata import version as installed_version

project = "Relay"
author = "Relay contributors"
copyright = "2026, Relay contributors"
release = version = installed_version("relay-hub")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
nitpicky = False  # annotations name other projects, whose inventories are not at hand

html_theme = "furo"
html_title = "Relay"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
