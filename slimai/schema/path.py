"""Section `path`: the folders of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from slimai.schema.base import Int, Section, legacy
from slimai.schema.values import AbsPath


class PathSection(Section):
    """Folders. Relative ones start from the current directory (in a legacy cfg: from the cfg's folder)."""

    output_dir: AbsPath = Field(
        description="Folder that the results are written to; made when absent.",
        json_schema_extra=legacy("path.output_dir"),
    )
    image_dir: AbsPath = Field(
        description="Folder of the image lists; the paths inside a list are relative to it.",
        json_schema_extra=legacy("path.image_dir"),
    )
    input_dir: AbsPath = Field(
        default=Path(),
        validate_default=True,
        description="Folder that a relative `network.input_model` starts from.",
        json_schema_extra=legacy("path.input_dir"),
    )
    keep: Annotated[Int, Field(ge=0, le=99)] = Field(
        default=5,
        description="How many earlier results of another configuration are kept, as `<output_dir>.old-1` (the last) "
        "and on; 0 = they are overwritten.",
    )
    tmp_dir: AbsPath | None = Field(
        default=None,
        description="Folder for the calibration cache and spilled tensors; null = `.cache` in the output folder.",
        json_schema_extra=legacy("path.tmp_dir"),
    )
