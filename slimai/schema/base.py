"""The base of every section: frozen, no unknown keys; and how a value tells what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

WRONG = "slimai"  # type of the errors that carry a whole sentence of ours


class Section(BaseModel):
    """A frozen section of the configuration; a key that it does not declare is an error."""

    # built on first use, as part of the root: building each by itself too would double the start-up time
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


def wrong(message: str, cure: str = "") -> PydanticCustomError:
    """Return the error of one value; raised in a validator, it reaches the user with its place and value."""
    return PydanticCustomError(WRONG, "{message}", {"message": message, "cure": cure})


def legacy(*keys: str) -> dict[str, Any]:
    """Return the schema extra that names the legacy spelling ``section.key`` of a field."""
    return {"legacy": keys[0] if len(keys) == 1 else list(keys)}


def also(**form: Any) -> dict[str, Any]:
    """Return the schema extra of a second form that a field is read from, as JSON Schema."""
    return {"also": form}


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise wrong("Input should be a number, not a truth value")
    return value


Int = Annotated[int, BeforeValidator(_no_bool)]
Real = Annotated[float, BeforeValidator(_no_bool)]


def canonical_json(data: Any) -> str:
    """Return `data` (plain values) as JSON with sorted keys and no spaces: equal settings, equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def content_key(section: BaseModel, *, leave_out: Iterable[str] = ()) -> str:
    """Return 16 hex digits that identify the settings of `section`.

    `leave_out` names dotted keys without influence on the result (folders of this machine, workers).
    """
    data = section.model_dump(mode="json", by_alias=True)
    for dotted in leave_out:
        *parents, last = dotted.split(".")
        inner: Any = data
        for name in parents:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.pop(last, None)
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:16]
