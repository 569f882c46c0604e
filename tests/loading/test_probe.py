"""What a file may do to a process of its own, and what is said of it. Real files, real processes."""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import trio

from appliance.core.errors import PluginError
from appliance.loading import bundle, template, written
from appliance.loading import probe as probe_module
from appliance.loading.probe import probe
from appliance.settings.load import load
from tests.alive import is_alive
from tests.loading import dropping
from tests.loading.dropping import pack, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = 20
"""Seconds that no check takes, be the machine ever so busy."""


async def probed(path: Path, *overrides: str, text: str = "") -> Any:
    configuration = write(path.parent.parent / "appliance.toml", text)
    within = () if any("check_within" in each for each in overrides) else (f"plugins.check_within={LONG}",)
    loaded = load(file=configuration, environment={}, overrides=[*overrides, *within])
    with trio.fail_after(3 * LONG):
        return await probe(bundle.read(path, most=10_000_000), loaded)


async def refused(path: Path, *overrides: str, text: str = "") -> str:
    with pytest.raises(PluginError) as caught:
        await probed(path, *overrides, text=text)
    return str(caught.value)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what processes do, of which nobody tells."""
    with trio.fail_after(LONG):
        while not holds():  # noqa: ASYNC110 - as above
            await trio.sleep(0.02)


def drop(folder: Path, text: str) -> Path:
    return write(folder / "p" / "fees.py", text)


async def test_what_is_good_is_told_by_its_names(tmp_path: Path) -> None:
    before = {name for name in sys.modules if name.startswith("appliance_plugins")}
    found = await probed(drop(tmp_path, dropping.plugin("fees", sources=["sea"])))
    assert (found.channels, found.sources) == (["fees"], ["sea"])
    assert {name for name in sys.modules if name.startswith("appliance_plugins")} == before
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["fees.py"]


async def test_archives_are_probed_with_what_they_bring(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    files = {"fees.py": dropping.plugin("fees", before="import dep"), "dep.py": ""}
    assert (await probed(pack(tmp_path / "p" / "fees.zip", files))).channels == ["fees"]


async def test_what_is_installed_here_is_installed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "site" / "only_here.py")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert (await probed(drop(tmp_path, dropping.plugin("fees", before="import only_here")))).channels == [
        "fees"
    ]


async def test_mistakes_in_settings_come_back_with_their_lines(tmp_path: Path) -> None:
    file = drop(tmp_path, dropping.plugin("fees", settings="most: int = 1"))
    [told] = (await probed(file, text="[channels.fees]\nmost = 'x'\n")).mistakes
    assert told.startswith(f"{tmp_path}/appliance.toml:2: channels.fees.most: expected a whole number")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("import os\nos._exit(0)", None, "ends the process (status 0) while it is imported"),
        ("import os\nos._exit(7)", None, "a plugin must not call os._exit"),
        ("import sys\nsys.exit(0)", 2, "SystemExit: 0: a plugin must not end the process"),
        ("quit()", 1, "SystemExit"),
        ("import ctypes\nctypes.string_at(0)", 2, "crashes the process (SIGSEGV)"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", None, "crashes the process (SIGKILL)"),
        ("import os\nos.abort()", 2, "crashes the process (SIGABRT)"),
        ("def f(): f()\nf()", 1, "RecursionError"),
        ("a = (", 1, "SyntaxError"),
        ("import os\nos.close(1)\nos.close(2)\n1 / 0", 4, "ZeroDivisionError"),
        (
            "import os\nfor f in range(3, 50):\n  try: os.close(f)\n  except OSError: pass",
            None,
            "ends the process",
        ),
        ("import os\nfor f in range(3, 9):\n  try: os.write(f, b'{}')\n  except OSError: pass", None, ""),
    ],
)
async def test_however_a_file_ends_it_is_told(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    file = drop(tmp_path, f"{text}\n")
    told = await refused(file)
    assert told.startswith(f"{file}:{line}: " if line else f"{file}")
    assert words in told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("while True:\n    pass", None),
        ("import time\ntime.sleep(1000)", 2),
        ("import threading\nthreading.Event().wait()", 2),
        ("while True:\n    try: raise ValueError\n    except BaseException: pass", None),
        ("import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')", 2),
    ],
)
async def test_a_file_that_does_not_end_is_ended_and_its_line_told(
    tmp_path: Path, text: str, line: int | None
) -> None:
    file = drop(tmp_path, text)
    told = await refused(file, "plugins.check_within=0.7")
    assert re.match(
        rf"{file}:{line or '[123]'}: is not imported within 0\.7 s \(plugins\.check_within\)", told
    )
    assert "that belongs into `produce`" in told


async def test_a_machine_that_is_slow_to_start_it_takes_no_time_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_module, "_COMMAND", f"import time; time.sleep(3); {probe_module._COMMAND}")
    within = "plugins.check_within=0.7"
    assert (await probed(drop(tmp_path, dropping.plugin("fees")), within)).channels == ["fees"]
    file = drop(tmp_path, "import time\ntime.sleep(1000)")
    assert (await refused(file, within)).startswith(f"{file}:2: is not imported within 0.7 s")


async def test_a_process_that_does_not_begin_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_module, "_COMMAND", "import time; time.sleep(1000)")
    monkeypatch.setattr(probe_module, "_START", 0.3)
    told = await refused(drop(tmp_path, ""))
    assert "cannot be checked: the process for it has not begun within 0.3 s" in told


async def test_settings_that_do_not_end_are_ended_too(tmp_path: Path) -> None:
    validator = "most: int = attrs.field(default=1, validator=lambda *_: [None for _ in iter(int, 1)])"
    file = drop(tmp_path, dropping.plugin("fees", settings=validator))
    told = await refused(file, "plugins.check_within=0.7", text="[channels.fees]\nmost = 2\n")
    assert re.match(rf"{file}:\d+: is not imported within", told)


async def test_memory_is_bounded(tmp_path: Path) -> None:
    file = drop(tmp_path, "a = bytearray(10**9)")
    told = await refused(file, 'plugins.check_memory="256MiB"')
    assert told.startswith(f"{file}:1: MemoryError: it may take {256 * 2**20} bytes")


async def test_what_it_prints_is_neither_ours_nor_kept_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "import os, sys\nfor n in range(3000): print('x' * 1000)\nprint('the last words', flush=True)\nos._exit(3)"
    told = await refused(drop(tmp_path, text))
    assert told.endswith("the last words")
    assert len(told) < 1000
    assert capfd.readouterr() == ("", "")


async def test_it_reads_nothing_from_us(tmp_path: Path) -> None:
    text = "import sys\nassert sys.stdin.read() == ''\nopen(0).read()"
    assert (await probed(drop(tmp_path, dropping.plugin("fees", before=text)))).channels == ["fees"]


async def test_what_it_stands_on_is_compiled_once_and_a_plugin_finds_all_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(probe_module, "_IDLE", 10.0)  # so that it is not what served other tests
    written.place("examination").unlink(missing_ok=True)
    text = (
        "import gc, sys\nassert gc.isenabled()\nassert gc.get_freeze_count() > 10_000\n"
        "assert sys.dont_write_bytecode  # what it imports itself leaves nothing behind\n"
    )
    assert (await probed(drop(tmp_path, dropping.plugin("fees", before=text)))).channels == ["fees"]
    assert written.place("examination").is_file()


async def test_what_is_the_appliances_own_is_not_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_AUTH__KEYS__0__KEY", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("DATABASE", "mine")
    text = (
        "import os\nassert os.environ['DATABASE'] == 'mine'\n"
        "assert not {name for name in os.environ if 'KEY' in name or name == 'NOTIFY_SOCKET'}\n"
    )
    assert (await probed(drop(tmp_path, dropping.plugin("fees", before=text)))).channels == ["fees"]


async def test_of_the_configuration_it_gets_what_settings_are_filled_from(tmp_path: Path) -> None:
    spy = (
        "import gc\nfrom appliance.settings.tree import Settings\n"
        "[known] = [each for each in gc.get_objects() if isinstance(each, Settings)]\n"
        "assert (known.auth.keys, known.limits.sessions) == ((), 10_000)\n"
    )
    text = "[[auth.keys]]\nname = 'me'\nkey = 'secret'\n[limits]\nsessions = 5\n"
    assert (await probed(drop(tmp_path, dropping.plugin("fees", before=spy)), text=text)).channels == ["fees"]


@pytest.mark.parametrize("ending", ["time.sleep(1000)", "os._exit(0)", "1 / 0"])
async def test_what_it_started_ends_with_it(tmp_path: Path, ending: str) -> None:
    """Each child tells its number, and holds on to the pipes."""
    told = tmp_path / "children"
    told.touch()
    text = f"""
        import os, time
        for _ in range(3):
            if not os.fork():
                with open({str(told)!r}, "a") as file:
                    file.write(f"{{os.getpid()}}\\n")
                time.sleep(1000)
        while len(open({str(told)!r}).readlines()) < 3:
            time.sleep(0.01)
        {ending}
    """
    await refused(drop(tmp_path, text), "plugins.check_within=3")
    children = [int(line) for line in told.read_text().split()]
    assert len(children) == 3
    await until(lambda: not any(is_alive(child) for child in children))


async def test_forking_without_end_is_ended(tmp_path: Path) -> None:
    file = drop(
        tmp_path,
        f"import os, time\nfor n in range(100):\n    if not os.fork():\n        {'time.sleep(1000)'}\nwhile True: pass",
    )
    told = await refused(file, "plugins.check_within=1")
    assert "is not imported within 1 s" in told


async def test_who_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    number = tmp_path / "number"
    text = f"import os, time\nwith open({str(number)!r}, 'w') as file: file.write(str(os.getpid()))\ntime.sleep(1000)"
    file = drop(tmp_path, text)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(probed, file)
        await until(lambda: number.exists() and bool(number.read_text()))
        nursery.cancel_scope.cancel()
    assert not is_alive(int(number.read_text()))


async def test_a_process_that_cannot_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no_python"))
    told = await refused(drop(tmp_path, dropping.plugin("fees")))
    assert "cannot be checked: no process can be started (No such file or directory)" in told


async def test_what_a_process_stands_on_is_loaded_once_and_nothing_of_a_plugin_is_there_for_the_next(
    tmp_path: Path,
) -> None:
    told = tmp_path / "told"
    text = (
        "import os, sys\nassert not hasattr(sys, 'somebody')\nsys.somebody = 'was here'\n"
        "os.environ['SOMEBODY'] = os.environ.get('SOMEBODY', '') + 'was here'\n"
        f"with open({str(told)!r}, 'a') as file: print(os.getppid(), os.environ['SOMEBODY'], file=file)\n"
    )
    file = drop(tmp_path, dropping.plugin("fees", before=text))
    for _ in range(3):
        await probed(file)
    [(line, count)] = Counter(told.read_text().splitlines()).items()
    assert (line.split(" ", 1)[1], count) == ("was here", 3)


async def test_it_is_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        monkeypatch.chdir(folder)
        text = f"import os\nassert os.getcwd() == {str(folder)!r}"
        assert (await probed(drop(folder, dropping.plugin("fees", before=text)))).channels == ["fees"]


async def test_a_file_that_ends_what_has_started_it_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    text = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(1000)"
    told = await refused(drop(tmp_path, text))
    assert "cannot be checked: no process can be started (what has started it was ended)" in told
    assert (await probed(drop(tmp_path, dropping.plugin("fees")))).channels == ["fees"]


async def test_a_file_that_stops_what_has_started_it_is_ended_in_time_and_the_next_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "_PATIENCE", 0.2)
    text = "import os, signal, time\nos.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(1000)"
    assert "is not imported within 0.7 s" in await refused(drop(tmp_path, text), "plugins.check_within=0.7")
    assert (await probed(drop(tmp_path, dropping.plugin("fees")))).channels == ["fees"]
