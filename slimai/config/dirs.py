"""Where the bundled files lie (checkout or wheel) and where the user's own `./conf` is."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def _bundled(in_wheel: str, in_checkout: str) -> Path:
    installed = PACKAGE / in_wheel
    return installed if installed.is_dir() else PACKAGE.parent / in_checkout


def bundled_conf() -> Path:
    """Return the folder of the configuration files that ship with slimai."""
    return _bundled("conf", "conf")


def examples_dir() -> Path:
    """Return the folder of the example networks and pictures that ship with slimai."""
    return _bundled("examples", "examples/data")


def schemas_dir() -> Path:
    """Return the folder of the JSON Schemas that ship with slimai."""
    return _bundled("schemas", "schemas")


def user_conf() -> Path | None:
    """Return the folder `./conf` beside the data, or None when it is absent or the bundled one."""
    found = Path.cwd() / "conf"
    return found if found.is_dir() and found.resolve() != bundled_conf().resolve() else None


def shadowed() -> list[tuple[Path, Path]]:
    """Return (user's file, bundled file) for each bundled file that the user's `./conf` hides."""
    own = user_conf()
    if own is None:
        return []
    pairs = ((path, bundled_conf() / path.relative_to(own)) for path in sorted(own.rglob("*.yaml")))
    return [(path, hidden) for path, hidden in pairs if hidden.is_file()]


def preset_names() -> list[str]:
    """Return the names that ``+model=NAME`` accepts: the user's own and the bundled ones."""
    folders = [folder / "model" for folder in (user_conf(), bundled_conf()) if folder is not None]
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
