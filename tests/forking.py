"""Runs command lines of the appliance that it is a part of, each in a process of its own that has loaded it already.

It is run where that appliance is: see `asking`. Must not know what is asked.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile

from appliance.cli import outset
from appliance.cli.main import main

with outset.lightly():
    from appliance.cli import serving  # noqa: F401 - most commands need it


def run(words: list[str], folder: str | None, variables: dict[str, str], within: int) -> None:
    """Run a command as a process does that has begun with it."""
    signal.alarm(within)
    if folder is not None:
        os.chdir(folder)
    os.environ.update(variables)
    sys.argv = ["appliance", *words]
    main()
    sys.exit()


for line in sys.stdin:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        if not (child := os.fork()):
            nothing = os.open(os.devnull, os.O_RDONLY)
            for number, file in enumerate((nothing, output.fileno(), errors.fileno())):
                os.dup2(file, number)
            run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        told = []
        for written in (output, errors):
            written.seek(0)
            told.append(written.read().decode())
    sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), *told]) + "\n")
    sys.stdout.flush()
