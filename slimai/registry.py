"""Named choices that load on first use: ``name -> "module:attribute"``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from slimai.errors import InputError
from slimai.suggest import suggest

T = TypeVar("T")


class Registry(Generic[T]):
    """An explicit table of lazy entries; nothing is imported until an entry is asked for."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._paths = dict(entries)
        self._loaded: dict[str, T] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def add(self, name: str, path: str) -> None:
        """Add the entry `name`; a name that is taken is refused."""
        if name in self._paths:
            raise InputError(f"{self.kind} '{name}' is registered twice ({self._paths[name]} and {path})")
        self._paths[name] = path

    def get(self, name: str) -> T:
        """Return the object behind `name`; an unknown name is an InputError with the nearest ones."""
        if name not in self._paths:
            raise InputError(f"unknown {self.kind} '{name}'{suggest(name, self._paths)}")
        if name not in self._loaded:
            module, _, attribute = self._paths[name].partition(":")
            found: Any = getattr(import_module(module), attribute)
            self._loaded[name] = found
        return self._loaded[name]
