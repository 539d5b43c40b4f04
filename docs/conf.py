"""The site, which `make docs` builds into site/: Sphinx reads the pages (MyST), and the docstrings without importing
the package (AutoAPI)."""

from docutils import nodes
from latex2mathml.converter import convert

project = "lobset"
copyright = "the authors of lobset"
html_title = "lobset"
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
exclude_patterns = ["requirements.txt"]

extensions = ["myst_parser", "sphinx.ext.napoleon", "autoapi.extension"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autoapi_dirs = ["../python/lobset"]
autoapi_root = "reference/api"
autoapi_add_toctree_entry = False
autoapi_options = ["members", "undoc-members", "imported-members", "inherited-members"]
autoapi_python_class_content = "both"
# Docstrings are written in Markdown's style: a name in single backticks is code.
default_role = "code"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
html_math_renderer = "mathml"
# They would turn `--json` in a table into a dash and a word.
smartquotes = False


def mathml(translator, node):
    """Formulas as MathML, which browsers show without a script."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    # latex2mathml keeps the backslash of `\_` within text.
    translator.body.append(convert(node.astext(), display=display).replace("\\_", "_"))
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(mathml, None), block_renderers=(mathml, None))
