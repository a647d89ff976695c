"""Where the files of metric plug-ins lie."""

from __future__ import annotations

import os
from pathlib import Path

PLUGIN_FOLDER = Path("slimai_custom_metric") / "metric_plugin"
PLUGIN_VARIABLE = "CUSTOM_METRIC_PATH"

__all__ = ["PLUGIN_FOLDER", "PLUGIN_VARIABLE", "plugin_path"]


def plugin_path() -> list[Path]:
    """Return the folders that the environment names, in order."""
    return [Path(part) for part in os.environ.get(PLUGIN_VARIABLE, "").split(os.pathsep) if part]
