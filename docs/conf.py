"""How the documentation is built: `make docs` writes build/docs/index.html; warnings are errors, its code is run."""

import os
from pathlib import Path

# What is run imports docs/drawn.py; each page is run in a folder of its own.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])

project = "nextpixel"
html_title = "nextpixel"
html_theme = "furo"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
source_suffix = {".md": "myst-nb"}

myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links to files beside docs/, which tests/test_pages.py holds
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_render_markdown_format = "myst"  # tables that code writes are tables

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
