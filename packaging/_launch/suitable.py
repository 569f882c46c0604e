"""Whether this Python, on this machine, can run the compiled parts that are packed.

Must not know where they are unpacked, nor what they do.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES


def refusal(built_for: str, glibc: tuple[int, ...]) -> str:
    """Say what does not fit, or nothing. `built_for` is like `cpython-311-x86_64-linux-gnu`; with a C library that is
    not glibc, `glibc` is empty.
    """
    here = tag()
    if here != built_for:
        return f"is built for {built_for}, and {sys.executable} is {here or 'of no known kind'}: get the file for it"
    found = libc()
    if glibc and found < glibc:
        return f"needs glibc {dotted(glibc)} or newer, and this system has {dotted(found) or 'none'}"
    return ""


def tag() -> str:
    """Name the interpreter and the platform as its compiled modules do, of which the first suffix is the narrowest."""
    return EXTENSION_SUFFIXES[0].rpartition(".")[0].lstrip(".") if EXTENSION_SUFFIXES else ""


def libc() -> tuple[int, ...]:
    """Give the version of glibc, or nothing where there is none."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):  # as other systems and libraries answer
        return ()
    return tuple(int(part) for part in version.split(".") if part.isdecimal()) if name == "glibc" else ()


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
