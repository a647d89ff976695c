"""The values of a preset, in the order in which they are written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimai.app.draft.inputs import Material
from slimai.app.draft.metric import Task
from slimai.app.draft.samples import Shares

MOST_VALIDATION = 1000
NETWORK_KEYS = ("input_data_layout", "channel_order", "mean", "stddev", "resize")
LISTS = {"calibration_set": "calib.txt", "validation_set": "val.txt"}
LABEL_LIST = "<validation list>"  # stands in a task for the list that the preset names

__all__ = ["LABEL_LIST", "Frame"]


@dataclass(frozen=True)
class Frame:
    """What all presets of one draft share. lists: folder of the image lists. images: folder of the samples."""

    name: str
    material: Material
    lists: Path
    images: Path

    def values(self, network: Mapping[str, Any], task: Task, shares: Shares | None = None) -> dict[str, Any]:
        """Return the whole configuration; network: the settings of `NETWORK_KEYS`, by input where there are several."""
        facts = self.material.facts
        lists = {key: self._beside(self.lists / name) for key, name in LISTS.items()}
        dataset: dict[str, Any] = dict(lists)
        if facts.quantized:
            del dataset["calibration_set"]
        if shares is not None and len(shares.validation) > MOST_VALIDATION:
            dataset["validation_count"] = MOST_VALIDATION
        return {
            "path": {"image_dir": str(self.images), "output_dir": f"slimai_output/{self.name}"},
            "network": self._network(network, task),
            "dataset": dataset,
            "quantization": {"accuracy_level": [0, 2, 3]} if facts.quantized else {"accuracy_level": [1, 3], **LIMITS},
            "metric": self._metric(task.metric),
        }

    def _network(self, settings: Mapping[str, Any], task: Task) -> dict[str, Any]:
        facts = self.material.facts
        values: dict[str, Any] = {"name": self.name, "input_model": str(facts.file)}
        if facts.quantized:
            values["model_type"] = "quantized"
        values["class"] = task.network_class
        if len(facts.inputs) == 1:
            values.update({key: settings[key] for key in NETWORK_KEYS if settings.get(key) is not None})
            if facts.chosen:
                values["input_node_name"] = {name: {"shape": list(shape)} for name, shape in facts.chosen.items()}
            return values
        nodes: dict[str, dict[str, Any]] = {}
        for item in facts.inputs:
            own = settings[item.name]
            nodes[item.name] = {key: own[key] for key in NETWORK_KEYS if own.get(key) is not None}
            if item.name in facts.chosen:
                nodes[item.name]["shape"] = list(facts.chosen[item.name])
        values["input_node_name"] = nodes
        return values

    def _metric(self, metric: Mapping[str, Any]) -> dict[str, Any]:
        inside = metric.get("metric_input")
        if not inside or inside.get("labels") != LABEL_LIST:
            return dict(metric)
        return {**metric, "metric_input": {**inside, "labels": str(self.lists / LISTS["validation_set"])}}

    def _beside(self, path: Path) -> str:
        """Return a list as it is written: from the folder of the samples, where both are relative and no links."""
        start = Path(os.path.abspath(self.images))  # noqa: PTH100 - resolve would follow links
        whole = Path(os.path.abspath(path))  # noqa: PTH100
        if path.parent == self.images:
            return path.name
        if path.is_absolute() or self.images.is_absolute() or start.resolve() != start:
            return str(whole)
        return os.path.relpath(whole, start)


LIMITS: dict[str, Any] = {"limits": "auto"}  # several kinds of limits are tried: docs/guide.md
