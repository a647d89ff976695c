"""What slimai adds to Hydra before it starts: the search path of `./conf`, resolvers, presets given as a file.

Nothing here runs at import; `prepare_hydra` may be called any number of times.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from slimai.config.dirs import PACKAGE, examples_dir, user_conf
from slimai.config.yaml_source import ROOT, FileConfigSource

CONFIG_NAME = "slimai"
VERSION_BASE = "1.3"
FILE_GROUP = "slimai_file"  # group of presets that are given as a path, see `store_preset`


class UserConf(SearchPathPlugin):
    """Puts the user's `./conf` before the bundled folder: its files can add names and shadow bundled ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add `./conf` in front."""
        own = user_conf()
        if own is not None:
            search_path.prepend("user", f"file://{own}", anchor="main")


def prepare_hydra() -> None:
    """Register the search path plug-in, slimai's own plug-ins and the resolver ``${slimai_examples:}``."""
    from omegaconf import OmegaConf  # noqa: PLC0415 - spares omegaconf

    own = str(PACKAGE / "_plugins")  # holds the namespace package `hydra_plugins`, seen by slimai alone
    if own not in sys.path and (PACKAGE / "_plugins").is_dir():
        sys.path.append(own)
    plugins = Plugins.instance()
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource  # in place of Hydra's own
    if UserConf not in plugins.discover(SearchPathPlugin):
        plugins.register(UserConf)
    OmegaConf.register_new_resolver("slimai_examples", lambda: str(examples_dir()), replace=True)


def store_preset(name: str, values: Mapping[str, Any], package: str = ROOT) -> str:
    """Make the mapping `values` selectable, and return the override that selects it."""
    ConfigStore.instance().store(group=FILE_GROUP, name=name, node=dict(values), package=package, provider="slimai")
    return f"+{FILE_GROUP}={name}"
