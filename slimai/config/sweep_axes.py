"""The overrides of a sweep: what every job has, and the values to choose from."""

from __future__ import annotations

from dataclasses import dataclass, field

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser

Point = tuple[int, ...]  # for each swept override, the index of its value


@dataclass
class Axes:
    """The swept overrides: their keys and the texts of their values; and what every job has."""

    fixed: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    values: list[list[str]] = field(default_factory=list)

    def overrides(self, point: Point) -> list[str]:
        """Return the overrides of the job at `point`."""
        chosen = [f"{key}={self.values[axis][point[axis]]}" for axis, key in enumerate(self.keys)]
        return [*self.fixed, *chosen]


def read_axes(arguments: list[str], loader: ConfigLoader | None = None) -> Axes:
    """Return the axes of a command line; ValueError for a sweep that has no list of values.

    loader: knows the names of a group's files, which a pattern (`target=glob(a*)`) stands for.
    """
    found = Axes()
    for override in OverridesParser.create(config_loader=loader).parse_overrides(arguments):
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise ValueError(f"smart_search takes lists of values (got {override.input_line})")
            found.keys.append(override.get_key_element())
            found.values.append(list(override.sweep_string_iterator()))
        else:
            found.fixed.append(f"{override.get_key_element()}={override.get_value_element_as_str()}")
    return found
