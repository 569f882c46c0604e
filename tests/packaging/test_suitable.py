"""What is said to a machine that the compiled parts are not for, and to one that they are for."""

from __future__ import annotations

import importlib.machinery
import sys

import pytest
from _launch import suitable


def test_the_python_that_builds_suits() -> None:
    assert suitable.refusal(suitable.tag(), suitable.libc()) == ""


@pytest.mark.parametrize(
    "built_for",
    [
        "cpython-311-aarch64-linux-gnu",
        "cpython-311-x86_64-linux-musl",
        "cpython-311-darwin",
        "cpython-399-x86_64-linux-gnu",
        "pypy311-pp73-x86_64-linux-gnu",
    ],
)
def test_another_machine_or_python_is_named_with_what_it_should_be(built_for: str) -> None:
    here = importlib.machinery.EXTENSION_SUFFIXES[0].split(".")[1]
    told = f"is built for {built_for}, and {sys.executable} is {here}: get the file for it"
    assert suitable.refusal(built_for, ()) == told


def test_an_older_glibc_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.confstr", lambda _: "glibc 2.9")
    assert suitable.refusal(suitable.tag(), (2, 9)) == ""
    told = "needs glibc 2.17 or newer, and this system has 2.9"
    assert suitable.refusal(suitable.tag(), (2, 17)) == told


def test_a_system_without_glibc_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.confstr", unknown)
    told = "needs glibc 2.17 or newer, and this system has none"
    assert suitable.refusal(suitable.tag(), (2, 17)) == told
    assert suitable.refusal(suitable.tag(), ()) == ""
