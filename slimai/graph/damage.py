"""A model that contradicts itself is wrong input: what code and libraries fall over becomes one message.

What can be checked is checked where it is read, with its own sentence. This is for the rest: the node is named where
one was being looked at, and the error that was met is kept as the cause (SLIMAI_DEBUG=1 shows it).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar, cast

from slimai.errors import InputError, SlimaiError

P = ParamSpec("P")
T = TypeVar("T")
Reader = Callable[Concatenate[str | Path, P], T]
CURE = "export the model again, or copy the whole file"


class _NodeError(Exception):
    """What happened at a node, on its way to the door that knows the file."""

    def __init__(self, node: str, error: Exception) -> None:
        super().__init__(node)
        self.node, self.error = node, error


@contextmanager
def at_node(name: str, op: str) -> Iterator[None]:
    """Let an unexpected error inside the block carry the node that was being looked at."""
    try:
        yield
    except (SlimaiError, _NodeError):
        raise
    except Exception as error:
        raise _NodeError(f"{op} '{name}'", error) from error


def damage_refused(kind: str) -> Callable[[Reader[P, T]], Reader[P, T]]:
    """Return the decorator of a reader of files, whose path comes first: any error of it is an InputError there."""

    def decorate(read: Reader[P, T]) -> Reader[P, T]:
        @functools.wraps(read)
        def wrapped(path: str | Path, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return read(path, *args, **kwargs)
            except SlimaiError:
                raise
            except _NodeError as error:
                raise _refusal(path, kind, error.error, error.node) from error.error
            except Exception as error:
                raise _refusal(path, kind, error) from error

        return cast("Reader[P, T]", wrapped)

    return decorate


def _refusal(path: str | Path, kind: str, error: Exception, node: str = "") -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
    return InputError.at(str(path), f"the {kind} contradicts itself ({reason})", cure=CURE, key=node)
