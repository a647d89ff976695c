"""Section `dataset`: the image lists."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from slimai.schema.base import Int, Section, legacy
from slimai.schema.values import AnyPath

Count = Annotated[Int, Field(ge=1)]


class DatasetSection(Section):
    """Image lists; a relative path starts from `path.image_dir`."""

    calibration_set: AnyPath | None = Field(
        default=None,
        description="Image list whose images set the ranges; needed by a float network.",
        json_schema_extra=legacy("dataset.calibration_set"),
    )
    calibration_count: Count | None = Field(
        default=None,
        description="Number of images taken from the start of the list; null = all.",
        json_schema_extra=legacy("dataset.calibration_count"),
    )
    validation_set: AnyPath | None = Field(
        default=None,
        description="Image list whose images are scored; null = the calibration images, compared with float.",
        json_schema_extra=legacy("dataset.validation_set"),
    )
    validation_count: Count | None = Field(
        default=None,
        description="Number of images taken from the start of the list; null = all.",
        json_schema_extra=legacy("dataset.validation_count"),
    )
