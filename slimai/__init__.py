"""slimai tunes post-training quantization for a fixed-point target.

`load_config`, `validate` and `run` are the Python face of the command line; they are
imported on first use so that `import slimai` stays light.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_config", "run", "validate"]

_LAZY = {"load_config": "slimai.app.api", "validate": "slimai.app.api", "run": "slimai.app.api"}


def __getattr__(name: str) -> Any:
    """Return the public function `name`, importing its module on first use."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'slimai' has no attribute {name!r}")
