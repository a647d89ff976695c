"""Full-width signs in values: what a Chinese keyboard leaves where a half-width sign is meant."""

from __future__ import annotations

from dataclasses import replace

from slimai.errors import Diagnostic

PLAIN = {
    **{chr(0xFF01 + code): chr(0x21 + code) for code in range(94)},  # ！ to ～ stand for ! to ~
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("‘’", "'"),
    "\u3000": " ", "、": ",", "。": ".", "【": "[", "】": "]", "《": "<", "》": ">",
}  # fmt: skip

__all__ = ["named", "signs"]


def signs(text: str) -> list[str]:
    """Return the full-width signs in `text`, each once, in order."""
    return list(dict.fromkeys(sign for sign in text if sign in PLAIN))


def named(item: Diagnostic) -> Diagnostic:
    """Return the diagnostic with the full-width signs of its value named, which then are the likely mistake."""
    found = signs(item.value) if item.has_value and isinstance(item.value, str) else []
    if not found:
        return item
    shown = ", ".join(f"'{sign}' for '{PLAIN[sign]}'" for sign in found[:4])
    hint = f"the value has full-width signs ({shown}): type them in half-width"
    return replace(item, suggestion=f"{hint}; {item.suggestion}" if item.suggestion else hint)
