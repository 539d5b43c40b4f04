"""The site: `make docs` builds it into site/."""

import sys
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))

project = "lobset"
html_theme = "furo"
extensions = ["myst_parser", "autoapi.extension", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"
autoapi_dirs = ["../python/lobset"]
autoapi_root = "reference/api"
autoapi_python_class_content = "both"
autoapi_options = ["members", "undoc-members", "show-module-summary", "imported-members", "inherited-members"]
autoapi_add_toctree_entry = False
autoapi_keep_files = False


def mathml(self, node):
    from latex2mathml.converter import convert
    self.body.append(convert(node.astext(), display="block" if node.tagname == "math_block" else "inline"))
    raise __import__("docutils").nodes.SkipNode

def setup(app):
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
