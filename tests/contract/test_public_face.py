"""What `import slimai` offers: these names, no others; light; with their errors and results."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys

import pytest

import slimai

FACE = {
    "Candidate", "Diagnostic", "InputError", "Outcome", "Result", "RunResult", "Silent", "SlimaiConfig", "SlimaiError",
    "UnsupportedError", "__version__", "load_config", "run", "validate",
}  # fmt: skip


def test_the_public_names_are_these():
    assert set(slimai.__all__) == set(dir(slimai)) == FACE
    assert len(slimai.__all__) == len(FACE)


@pytest.mark.parametrize("name", sorted(FACE - {"__version__"}))
def test_a_public_name_is_there_with_its_docstring(name):
    found = getattr(slimai, name)
    assert found.__name__ == name
    assert inspect.getdoc(found)
    assert (inspect.isclass(found), inspect.isfunction(found)) == (name[0].isupper(), name[0].islower())


def test_type_checkers_see_the_same_names_from_the_same_modules(repo_root):
    stub = (repo_root / "slimai" / "__init__.pyi").read_text(encoding="utf-8")
    imported = {name: module for module, name in re.findall(r"from (\S+) import \w+ as (\w+)", stub)}
    assert imported == slimai._LAZY
    assert set(imported) | {"__version__"} == FACE


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'slimai' has no attribute 'nothing'"):
        slimai.nothing  # noqa: B018 - the access is what is tried


def test_a_star_import_gives_the_face():
    names = {}
    exec("from slimai import *", names)  # noqa: S102 - the statement is what is tried
    assert set(names) - {"__builtins__"} == FACE


def test_the_functions_take_return_and_raise_what_is_public():
    hints = {name: inspect.signature(getattr(slimai, name)) for name in ("load_config", "run", "validate")}
    assert hints["load_config"].return_annotation == "SlimaiConfig"
    assert hints["run"].return_annotation == "RunResult"
    assert hints["validate"].return_annotation == "list[Diagnostic]"
    assert issubclass(slimai.InputError, slimai.SlimaiError)
    assert issubclass(slimai.UnsupportedError, slimai.InputError)
    with pytest.raises(slimai.InputError) as caught:
        slimai.load_config("+model=nothing")
    assert all(isinstance(item, slimai.Diagnostic) for item in caught.value.diagnostics)
    assert isinstance(slimai.load_config("+model=yolo"), slimai.SlimaiConfig)


def test_importing_and_listing_load_no_other_package():
    code = "import sys, json; before = set(sys.modules); import slimai; dir(slimai); slimai.InputError; "
    code += "print(json.dumps(sorted({n.split('.')[0] for n in set(sys.modules) - before} - sys.stdlib_module_names)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["slimai"]


def test_the_changelog_has_the_version_below_what_is_unreleased(repo_root):
    titles = re.findall(r"^## (.+)$", (repo_root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[0] == "Unreleased"
    assert titles[1] == slimai.__version__
