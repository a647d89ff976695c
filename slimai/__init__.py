"""slimai tunes post-training quantization for a fixed-point target.

`load_config`, `validate` and `run` are the Python face of the command line. What they take, return and raise is here
too; all of it is imported on first use, so that `import slimai` stays light.
Their types stand in `__init__.pyi`.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "Candidate",
    "Diagnostic",
    "InputError",
    "Outcome",
    "Result",
    "RunResult",
    "Silent",
    "SlimaiConfig",
    "SlimaiError",
    "UnsupportedError",
    "__version__",
    "load_config",
    "run",
    "validate",
]

# nothing leaves the machine: both are read when the library is imported, here and in every process started from here
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

_HOMES = {
    "slimai.app.api": ("load_config", "run", "validate"),
    "slimai.app.run.result": ("RunResult",),
    "slimai.errors": ("Diagnostic", "InputError", "SlimaiError", "UnsupportedError"),
    "slimai.metrics.base": ("Result",),
    "slimai.schema.root": ("SlimaiConfig",),
    "slimai.search.candidate": ("Candidate", "Outcome"),
    "slimai.search.events": ("Silent",),
}
_LAZY = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Return the public object `name`, importing its module on first use."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'slimai' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
