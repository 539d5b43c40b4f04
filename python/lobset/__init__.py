"""Order-book files in, labelled training datasets out.

>>> import lobset
>>> manifest = lobset.process("data", "out", lobset.Config(currency="AUDUSD"))  # doctest: +SKIP

`lobset.torch` has datasets for PyTorch, and `lobset.data` has the same for NumPy and JAX. `lobset.plot` plots tensors,
and `lobset.ray` runs the main job on a cluster.
"""

from lobset._config import Config, Feature
from lobset._depth import DepthProcessor
from lobset._engine import (
    Progress,
    build,
    estimate,
    explain,
    fit_thresholds,
    inspect,
    process,
    read_dbn,
    report,
    simulate,
    validate,
)
from lobset._errors import (
    ConfigError,
    DataError,
    ExecutorError,
    InputError,
    LobsetError,
    OutputError,
    ValidationError,
)
from lobset._explanation import ExplainedTarget, Explanation
from lobset._lobset import RowStream, __version__
from lobset._results import (
    Estimate,
    Fit,
    InspectedSymbol,
    Inspection,
    Ladder,
    Manifest,
    Split,
    Symbol,
    TargetCounts,
    TargetFits,
    Thresholds,
    Validation,
)

__all__ = [
    "Config",
    "ConfigError",
    "DataError",
    "DepthProcessor",
    "Estimate",
    "ExecutorError",
    "ExplainedTarget",
    "Explanation",
    "Feature",
    "Fit",
    "InputError",
    "InspectedSymbol",
    "Inspection",
    "Ladder",
    "LobsetError",
    "Manifest",
    "OutputError",
    "Progress",
    "RowStream",
    "Split",
    "Symbol",
    "TargetCounts",
    "TargetFits",
    "Thresholds",
    "Validation",
    "ValidationError",
    "__version__",
    "build",
    "estimate",
    "explain",
    "fit_thresholds",
    "inspect",
    "process",
    "read_dbn",
    "report",
    "simulate",
    "validate",
]
