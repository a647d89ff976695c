"""What Hydra, OmegaConf and the YAML reader refuse, said in slimai's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import yaml
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from slimai.config.dirs import preset_names
from slimai.config.hydra_setup import CONFIG_NAME
from slimai.config.overrides import as_written
from slimai.config.yaml_source import PRESETS
from slimai.errors import Diagnostic, InputError, SlimaiError
from slimai.suggest import did_you_mean
from slimai.yaml_reader import yaml_problem

SEVERAL = "several values for one job"
GROUPS = ("model", "target", "hydra/launcher", "hydra/sweeper")
LISTS = (  # settings of which a search tries several
    "quantization.accuracy_level",
    "quantization.range",
    "quantization.calibration",
    "quantization.weight_rounding",
)
MOST_LISTED = 32
_CALL = r"(range|choice)\([^()\[\]{}]*\)"
EXTRAS = {  # what comes with another package: the extra of pyproject.toml that installs it
    "hydra/launcher=ray": "ray-launcher",
    "hydra/launcher=joblib": "joblib",
    "hydra/launcher=submitit_local": "submitit",
    "hydra/launcher=submitit_slurm": "submitit",
    "hydra/sweeper=optuna": "optuna",
}
QUOTE = "quote the value twice, for the shell and for Hydra: key=\"'a;b c'\""


@contextmanager
def explained(terms: Sequence[str], written: list[str]) -> Iterator[None]:
    """Turn the exceptions of Hydra's composition into an InputError.

    `terms` are the overrides as given to Hydra, `written` as the user wrote them.
    """
    wrong = [problem for term in terms if (problem := _parse_problem(term, written))]
    if wrong:
        raise InputError(wrong)
    try:
        yield
    except MissingConfigException as error:
        raise InputError(_missing(error, terms, written)) from None
    except yaml.YAMLError as error:
        raise InputError(yaml_problem(error)) from None
    except OmegaConfBaseException as error:
        raise InputError(_interpolation(error)) from None
    except HydraException as error:
        raise InputError(_composition(error, terms, written)) from None
    except SlimaiError:
        raise
    except Exception as error:  # noqa: BLE001 - Hydra asserts, and fails in many ways, on words that its grammar lets pass
        raise InputError(_unlikely(error, terms, written)) from None


def _unlikely(error: Exception, terms: Sequence[str], written: list[str]) -> Diagnostic:
    """Return what is wrong where Hydra or OmegaConf only fell over it: the override without which they do not."""
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    reason = f"{kind}{_first_line(error)}".strip(": ")
    guilty = [term for term in terms if _composes([item for item in terms if item != term])]
    if len(guilty) != 1:
        return Diagnostic(f"the configuration cannot be composed: {reason}")
    return Diagnostic(
        f"the override cannot be applied ({reason})",
        override=as_written(guilty[0], written),
        suggestion="write section.key=value with one plain value, or a name for a group",
    )


def _composes(terms: Sequence[str]) -> bool:
    if not GlobalHydra.instance().is_initialized():
        return False
    try:
        compose(CONFIG_NAME, overrides=list(terms), return_hydra_config=True)
    except Exception:  # noqa: BLE001 - whatever it is, this was not the override to blame
        return False
    return True


def _parse_problem(term: str, written: list[str]) -> Diagnostic | None:
    try:
        OverridesParser.create().parse_overrides([term])
    except OverrideParseException as error:
        detail = str(error.__cause__ or error).splitlines()
        cure = "write key=value" if "=" not in term and not term.startswith("~") else QUOTE
        return Diagnostic(
            f"the override does not parse: {_grammar(detail)}", override=as_written(term, written), suggestion=cure
        )
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, brackets in brackets
        message = f"the override does not parse: {_first_line(error)}"
        return Diagnostic(message, override=as_written(term, written))
    return None


def _missing(error: MissingConfigException, terms: Sequence[str], written: list[str]) -> Diagnostic:
    path = (error.missing_cfg_file or "").removesuffix(".yaml")
    group, _, name = path.rpartition("/")
    options = list(error.options or (preset_names() if group == PRESETS else ()))
    extra = EXTRAS.get(f"{group}={name}")
    cure = f"it needs the extra '{extra}': pip install 'slimai[{extra}]'" if extra else did_you_mean(name, options)
    cure = cure or (f"one of {', '.join(options)}" if options else "")
    override = next((t for t in terms if t.lstrip("+").partition("=")[0] == group), None)
    what = f"there is no {group} '{name}'" if group else f"there is no configuration '{name}'"
    return Diagnostic(what, suggestion=cure, override=as_written(override, written) if override else None)


def _interpolation(error: OmegaConfBaseException) -> Diagnostic:
    key = str(getattr(error, "full_key", None) or "")
    return Diagnostic(_first_line(error), key=key, suggestion="write a value, or correct the ${...} reference")


def _composition(error: HydraException, terms: Sequence[str], written: list[str]) -> Diagnostic:
    text = str(error)
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and not text.strip():
        return _interpolation(cause)
    term = next((item for item in terms if f"'{item}'" in text), None)
    if term is not None and ("Ambiguous value" in text or "requires --multirun" in text):
        key = term.partition("=")[0].lstrip("+")
        cure = f"{_as_list(key, term)}add -m for one job each"
        return Diagnostic(SEVERAL, key=key, override=as_written(term, written), suggestion=cure)
    for item in terms:
        plain = _sweep_in_a_list(item) if f"override {item}" in text else ""
        if plain:
            shown = as_written(item, written)
            return Diagnostic("a list takes plain values", override=shown, suggestion=f"write {plain}")
    return _unknown_key(text, terms, written)


def _sweep_in_a_list(term: str) -> str:
    """Return the plain list that ``key=[range(0,3)]`` means; an empty string where there is none such."""
    bare, _, value = term.partition("=")
    inner = value[1:-1].strip() if value.startswith("[") and value.endswith("]") else ""
    if not re.fullmatch(_CALL, inner):
        return ""
    item = OverridesParser.create().parse_override(f"{bare}={inner}")
    if not item.is_discrete_sweep() or isinstance(item.value(), Glob):
        return ""
    return f"[{','.join(islice(item.sweep_string_iterator(), MOST_LISTED))}]"


def _as_list(key: str, term: str) -> str:
    """Return the advice to give the values as one list, where the key takes one and the values can be listed."""
    item = OverridesParser.create().parse_override(term)
    if key not in LISTS or not item.is_discrete_sweep() or isinstance(item.value(), Glob):  # names of a group's files
        return ""
    values = list(islice(item.sweep_string_iterator(), MOST_LISTED + 1))
    return "" if not 0 < len(values) <= MOST_LISTED else f"write [{','.join(values)}] to try them inside one job, or "


def _unknown_key(text: str, terms: Sequence[str], written: list[str]) -> Diagnostic:
    from slimai.schema.root import SlimaiConfig  # noqa: PLC0415 - spares pydantic

    bare = {term.lstrip("+~").partition("=")[0]: term for term in terms}
    key = next((key for key in bare if f"'{key}'" in text), None)
    override = as_written(bare[key], written) if key else None
    if key and "Could not delete" in text:
        return Diagnostic("there is nothing to delete", key=key, override=override, suggestion="remove the override")
    if key and "Could not override" in text and key not in GROUPS:
        cure = did_you_mean(key, [*GROUPS, *SlimaiConfig.model_fields]) or "write section.key=value, or +model=NAME"
        return Diagnostic(f"unknown key or group '{key}'", override=override, suggestion=cure)
    return Diagnostic(_first_line(text), override=override)


def _grammar(lines: Sequence[str]) -> str:
    """Return what the grammar of overrides says, without its repetition of the override and its link."""
    kept = [line for line in lines if line and not line.startswith(("Error parsing override", "See https"))]
    if not kept or kept[0].startswith("LexerNoViableAlt"):
        return "it holds a character that is not allowed outside quotes"
    return kept[0] if len(kept[0]) < 200 else kept[0][:197] + "..."


def _first_line(error: object) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
