"""Which encoding a text file of a user has: UTF-8, UTF-16 with its mark, or GBK; never a guess without a word."""

from __future__ import annotations

import re

__all__ = ["CURE", "decoded"]

CURE = "save it as UTF-8 (GBK is read too)"
# ideographs, their punctuation, full-width forms and compatibility signs: what Chinese text is made of
_CHINESE = r"[\u2000-\u206f\u3000-\u303f\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]"


def decoded(data: bytes) -> str:
    """Return the text of `data`.

    Bytes that are no UTF-8 are GBK where they spell Chinese text in it; text of another encoding (Big5, Shift-JIS)
    spells kana, box drawings or nothing at all there.

    Raises:
        ValueError: with what is wrong, for a message; `CURE` is what to do.
    """
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return _strict(data, "utf-16")
    if b"\0" in data:
        raise ValueError("is not a text file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text, place = "", error.start
    else:
        return text
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        raise ValueError(f"is not UTF-8 text (byte {place}), nor GBK") from None
    strange = next((sign for sign in text if not sign.isascii() and not re.match(_CHINESE, sign)), None)
    if strange is not None:
        other = " (Big5?)" if _is_big5(data) else ""
        raise ValueError(f"is not UTF-8 text (byte {place}), and would hold '{strange}' as GBK{other}")
    return text


def _strict(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not {encoding.upper()} text (byte {error.start}), as its mark says") from None
    if "\0" in text:
        raise ValueError("is not a text file")
    return text


def _is_big5(data: bytes) -> bool:
    try:
        text = data.decode("big5")
    except UnicodeDecodeError:
        return False
    return all(sign.isascii() or re.match(_CHINESE, sign) for sign in text)
