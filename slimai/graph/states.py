"""Which inputs are states: they take over, step after step, what an output of the same shape has given.

A state is declared (``network.input_node_name: {h: {state: hn}}``) or recognized by its name, and never both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from slimai.errors import Diagnostic, InputError
from slimai.graph.ir import Graph
from slimai.suggest import suggest

KEY = "network.input_node_name"
# A name is recognized where it holds one of these words, and is the output's but for words of direction.
_HELD = frozenset(
    [
        "h",
        "c",
        "hx",
        "cx",
        "hidden",
        "cell",
        "state",
        "states",
        "cache",
        "caches",
        "mem",
        "memory",
        "buffer",
        "rnn",
        "lstm",
        "gru",
        "carry",
        "context",
        "history",
    ]
)
_DIRECTION = frozenset(
    [
        "in",
        "input",
        "inputs",
        "init",
        "initial",
        "prev",
        "previous",
        "old",
        "past",
        "last",
        "out",
        "output",
        "outputs",
        "new",
        "next",
        "present",
        "cur",
        "current",
        "final",
        "updated",
        "n",
        "t",
    ]
)


def with_states(graph: Graph, declared: Mapping[str, Any]) -> Graph:
    """Return the graph with the states and sequences that `declared` names, and states that names tell.

    declared: input -> anything with ``state`` (an output's name, False for an input that is none, or None) and ``seq``.

    Raises:
        InputError: every declaration that does not fit the network, at once.
    """
    problems = [
        problem for name, item in declared.items() if name in graph.inputs for problem in _wrong(graph, name, item)
    ]
    named = {name: item.state for name, item in declared.items() if name in graph.inputs and item.state}
    problems += _twice(named)
    sequences = tuple(name for name in graph.inputs if name in declared and declared[name].seq)
    if problems:
        raise InputError(problems)
    refused = {name for name, item in declared.items() if item.state is False or item.seq}
    kept = {name: output for name, output in graph.states.items() if name not in {*refused, *named}}  # the file's own
    sure = {**kept, **named}
    found = {**sure, **recognized(graph, refused | set(sure), set(sure.values()))}
    if found and set(found) >= set(graph.inputs):
        message = "every input is a state, and nothing is left that a sample could give"
        raise InputError(Diagnostic(message, KEY, list(found), "name as states what the network hands on only"))
    return replace(graph, states={name: found[name] for name in graph.inputs if name in found}, sequences=sequences)


def recognized(
    graph: Graph, inputs: AbstractSet[str] = frozenset(), outputs: AbstractSet[str] = frozenset()
) -> dict[str, str]:
    """Return state input -> output by their names: h and hn, cache_in and cache_out, state and stateN.

    A pair has one shape and type, a word for what is held, and no rival on either side. inputs, outputs: left alone.
    """
    pairs = [
        (name, output)
        for name in graph.inputs
        if name not in inputs
        for output in graph.outputs
        if output not in outputs and _pair(graph, name, output)
    ]
    left, right = [name for name, _ in pairs], [output for _, output in pairs]
    sure = {name: output for name, output in pairs if left.count(name) == right.count(output) == 1}
    return {} if set(sure) >= set(graph.inputs) else sure


def named_as_state(name: str) -> bool:
    """Return whether the name of an input has a word for what is held."""
    return not _HELD.isdisjoint(_stem(name))


def _pair(graph: Graph, name: str, output: str) -> bool:
    one, other = graph.tensors[name], graph.tensors[output]
    if (one.shape, one.dtype) != (other.shape, other.dtype) or one.dtype != "float32" or output in graph.constants:
        return False
    stem, wanted = _stem(name), _stem(output)
    begins = tuple(word for word in stem if word != "0")  # h0, of which hn comes
    return wanted in (stem, begins) and not _HELD.isdisjoint(wanted)


def _stem(name: str) -> tuple[str, ...]:
    """Return the words of a name without those of direction: ``my_hidden_in:0`` -> my, hidden."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", re.sub(r":\d+$", "", name))
    plain = [part for word in words for part in _unglued(word.lower())]
    return tuple(word for word in plain if word not in _DIRECTION)


def _unglued(word: str) -> tuple[str, ...]:
    """Return ``hn`` as h, n: the one-letter endings of the names that PyTorch's documentation uses."""
    return (word[0], word[1:]) if word in {"hn", "cn", "ht", "ct"} else (word,)


def _wrong(graph: Graph, name: str, item: Any) -> list[Diagnostic]:
    if not item.state:
        return []
    key = f"{KEY}.{name}.state"
    if item.seq:
        message = "a state holds one array, at the first step; it is no sequence"
        return [Diagnostic(message, f"{KEY}.{name}.seq", True, "leave seq out, or state")]
    if item.state not in graph.outputs:
        message = "the network has no such output" + suggest(item.state, list(graph.outputs))
        return [Diagnostic(message, key, item.state, "name an output of the network")]
    one, other = graph.tensors[name], graph.tensors[item.state]
    if one.shape != other.shape:
        message = f"the state's shape is {list(one.shape)}, its output's {list(other.shape)}"
        return [Diagnostic(message, key, item.state, "name the output that holds the same state")]
    if one.dtype != other.dtype:
        message = f"the state is {one.dtype}, its output {other.dtype}"
        return [Diagnostic(message, key, item.state, "name the output that holds the same state")]
    return []


def _twice(named: Mapping[str, str]) -> list[Diagnostic]:
    found = []
    for name, output in named.items():
        first = next(other for other, item in named.items() if item == output)
        if first != name:
            message = f"input {first} is this output's state already"
            found.append(Diagnostic(message, f"{KEY}.{name}.state", output, "name another output"))
    return found
