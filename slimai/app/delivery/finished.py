"""A finished run read back from its folder: model, target, arithmetic, integer tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

import slimai
from slimai.data.array_file import read_npz
from slimai.errors import InputError
from slimai.quantizer.plan import QuantPlan
from slimai.schema.target import TargetSection
from slimai.simulator.integer_file import stored_tables

_AGAIN = "run the job again with codegen.language=c: what is finished is kept"


@dataclass(frozen=True)
class FinishedRun:
    """name: of the network. model: the QDQ file; tables: the file of integers beside it."""

    folder: Path
    name: str
    target: TargetSection
    arithmetic: str

    @property
    def model(self) -> Path:
        """The delivered QDQ model."""
        return self.folder / f"{self.name}_quant.onnx"

    def require_same_weights(self, plan: QuantPlan) -> None:
        """Refuse a model whose weights or biases are not those that the run has delivered.

        Raises:
            InputError: a layer that differs.
        """
        file, stored = self.tables, self._stored()
        for layer in plan.layers:
            weight, bias = stored.get(f"{layer.name}/weight"), stored.get(f"{layer.name}/bias")
            own = None if layer.weight is None else layer.weight.values
            kept = (weight is None or (own is not None and np.array_equal(weight, own))) and (
                bias is None or (layer.bias is not None and np.array_equal(bias.reshape(-1), layer.bias.reshape(-1)))
            )
            if not kept:
                raise InputError.at(
                    f"{self.model}: {layer.name}", f"differs from the integers in {file.name}", cure=_AGAIN
                )

    @property
    def tables(self) -> Path:
        """The delivered table of integers."""
        return self.folder / f"{self.name}_quant.npz"

    def require_same_integers(self, found: Mapping[str, NDArray[Any]]) -> None:
        """Refuse a model whose integers, compiled, are not those that the run has delivered.

        Raises:
            InputError: a layer that differs.
        """
        file = self.tables
        try:
            own = stored_tables(self._stored())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError.at(str(file), "its description 'network' is damaged", cure=_AGAIN) from None
        stored, again = _by_layer(own), _by_layer(found)
        for name in sorted({*stored, *again}):
            if not _same(stored.get(name, {}), again.get(name, {})):
                raise InputError.at(f"{self.model}: {name}", f"differs from the integers in {file.name}", cure=_AGAIN)

    def _stored(self) -> dict[str, NDArray[Any]]:
        try:
            return read_npz(self.tables)
        except InputError as error:
            raise InputError(replace(item, suggestion=_AGAIN) for item in error.diagnostics) from None


def _by_layer(tables: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for key, value in tables.items():
        layer, _, table = key.rpartition("/")
        found.setdefault(layer, {})[table] = value
    return found


def _same(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> bool:
    return set(first) == set(second) and all(np.array_equal(first[key], second[key]) for key in first)


def finished_run(folder: Path) -> FinishedRun:
    """Return the run of a folder.

    Raises:
        InputError: there is no readable ``run.json``, it is of another version, has no best candidate, or the
            delivered files are not there.
    """
    file = folder / "run.json"
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        version, name, arithmetic = str(run["slimai"]), str(run["network"]), str(run["arithmetic"])
        best, settings = run.get("best"), run.get("target_settings")
    except OSError as error:
        cause = error.strerror or str(error)
        raise InputError.at(str(file), f"cannot be read: {cause}", cure="give the output folder of a run") from None
    except json.JSONDecodeError as error:
        raise InputError.at(str(file), f"is damaged: no whole JSON ({error})", cure=_AGAIN) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError.at(str(file), "is not the result of a run", cure="give the output folder of a run") from None
    if version != slimai.__version__ or settings is None:
        raise InputError.at(str(file), f"is of another version than {slimai.__version__}", version, cure=_AGAIN)
    if not name or Path(name).name != name:
        raise InputError.at(str(file), "its network is no name of files", name, cure=_AGAIN)
    if not best:
        raise InputError.at(str(file), "has no best candidate", cure="let the run score at least one")
    try:
        target = TargetSection.model_validate(settings)
    except ValidationError:
        raise InputError.at(str(file), "its target_settings are damaged", cure=_AGAIN) from None
    found = FinishedRun(folder, name, target, arithmetic)
    missing = [path.name for path in (found.model, found.tables) if not path.is_file()]
    if missing:
        cure = "let the stage gen_code run, or give the model file itself"
        message = f"the run has not delivered {' and '.join(missing)}{_refusal(run)}"
        raise InputError.at(str(folder), message, cure=cure)
    return found


def _refusal(run: Mapping[str, Any]) -> str:
    """Return in parentheses why a run has refused its exported model, empty where it has not."""
    facts = run.get("exported_model")
    why = facts.get("refused") if isinstance(facts, dict) else None
    return f" ({why})" if why else ""
