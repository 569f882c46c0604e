"""What an engine does with a container file, done step by step in a booted Debian, which stands for the base image.

Must not know what the image is for. It follows the instructions that the file uses, and fails at any other.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.booted import Machine

_IMAGES = "/run/images"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WITHOUT_EFFECT_HERE = {"ARG", "LABEL", "EXPOSE"}
_PATIENCE = 60.0
_numbers = itertools.count(1)


@attrs.define
class Image:
    """A root that was built, and what is to be run in it."""

    root: str
    environment: dict[str, str] = attrs.field(factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    volumes: list[str] = attrs.field(factory=list)
    entrypoint: list[str] = attrs.field(factory=list)
    command: list[str] = attrs.field(factory=list)
    healthcheck: list[str] = attrs.field(factory=list)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The lines of a container file, each as its first word and the rest."""
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


def build(machine: Machine, file: Path, context: Path) -> Image:
    """Build the image of a file; the last of its stages is what comes out."""
    machine.run(f"mkdir -p {_IMAGES}; mount -t tmpfs -o mode=755 none {_IMAGES}")
    stages: dict[str, Image] = {}
    image = Image("")
    for word, rest in instructions(file.read_text(encoding="utf-8")):
        match word:
            case "FROM":
                name = rest.partition(" AS ")[2] or str(len(stages))
                image = stages[name] = Image(_fresh_root(machine, name))
            case "WORKDIR":
                image.workdir = rest
                machine.run(f"mkdir -p {image.root}{rest}")
            case "COPY":
                _copy(machine, image, stages, context, rest.split())
            case "RUN":
                machine.run(f"{_within(image, '0:0')} sh -euc {shlex.quote(f'cd {image.workdir}; {rest}')}")
            case _:
                _describe(image, word, rest)
    return image


def _describe(image: Image, word: str, rest: str) -> None:
    """Note what is only of interest when the image is run."""
    match word:
        case "ENV":
            image.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "USER":
            image.user = rest
        case "VOLUME":
            image.volumes.append(rest)
        case "HEALTHCHECK":
            image.healthcheck = json.loads(rest[rest.index("[") :])
        case "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        case "CMD":
            image.command = json.loads(rest)
        case _:
            assert word in _WITHOUT_EFFECT_HERE, f"{word} is not known here"


def _fresh_root(machine: Machine, name: str) -> str:
    """A root of its own, on top of the machine's as the machine is."""
    stage = f"{_IMAGES}/{name}"
    layers = f"lowerdir=/,upperdir={stage}/upper,workdir={stage}/work"
    machine.run(
        f"mkdir -p {stage}/upper {stage}/work {stage}/root; mount -t overlay -o {layers} none {stage}/root;"
        f"mount -t proc none {stage}/root/proc; mount --rbind /dev {stage}/root/dev"
    )
    return f"{stage}/root"


def _copy(
    machine: Machine, image: Image, stages: Mapping[str, Image], context: Path, words: list[str]
) -> None:
    *sources, target = words
    target = target if target.startswith("/") else f"{image.workdir}/{target}"
    if sources[0].startswith("--from="):
        origin = stages[sources[0].partition("=")[2]].root
        machine.run(f"mkdir -p {image.root}{target}; cp -a {origin}{sources[1]}/. {image.root}{target}")
        return
    found = [path for source in sources for path in sorted(context.glob(source))]
    assert found, f"nothing to copy: {words}"
    for path in found:
        mode = path.stat().st_mode & 0o777
        machine.write(f"{image.root}{target}/{path.name}", path.read_bytes(), mode=mode)


def _within(image: Image, user: str, given: Mapping[str, str] | None = None) -> str:
    """The beginning of a line that runs something in the root."""
    return f"chroot --userspec={user} --groups= {image.root} {_environment(image, given or {})}"


def _environment(image: Image, given: Mapping[str, str]) -> str:
    """The beginning of a line that runs something with nothing from outside."""
    variables = {"PATH": _PATH, **image.environment, **given}
    return f"env -i {shlex.join(f'{name}={value}' for name, value in variables.items())}"


@attrs.frozen
class Container:
    """What `docker run --read-only` makes of an image: nothing but its volumes can be written."""

    machine: Machine
    image: Image
    process: subprocess.Popen[bytes]
    name: str

    @property
    def pid(self) -> int:
        """The first process of the container, as the machine numbers it."""
        starter = self.machine.run(f"cat /run/{self.name}.pid").strip()
        return int(self.machine.run(f"cat /proc/{starter}/task/{starter}/children"))

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run something beside what runs, as `docker exec` does."""
        uid, _, gid = self.image.user.partition(":")
        enter = f"nsenter --target {self.pid} --mount --pid --root --wd=/ --setuid {uid} --setgid {gid}"
        return self.machine.attempt(f"{enter} {_environment(self.image, {})} {shlex.join(words)}")

    def is_well(self) -> bool:
        return self.execute(*self.image.healthcheck).returncode == 0

    def stop(self) -> int:
        self.machine.run(f"kill -TERM {self.pid}")
        return self.process.wait(_PATIENCE)


@contextlib.contextmanager
def running(machine: Machine, image: Image, line: str) -> Iterator[Container]:
    """Run an image as a line of `docker run` says, at the longest until the block ends.

    The name of the image in the line is of no account.
    """
    words = shlex.split(re.sub(r"\\\n", " ", line))
    assert words[:2] == ["docker", "run"]
    given = {}
    place = 2
    while words[place].startswith("-"):
        assert words[place] in ("-p", "-e"), "what it publishes, and its variables"
        if words[place] == "-e":
            name, _, value = words[place + 1].partition("=")
            given[name] = value
        place += 2
    command = shlex.join([*image.entrypoint, *(words[place + 1 :] or image.command)])
    name = f"container-{next(_numbers)}"
    inner = (
        f"mount --rbind {image.root} {image.root}; mount -t proc none {image.root}/proc;"
        f"mount -o remount,bind,ro {image.root}; {_volumes(image, name)}"
        f"exec {_within(image, image.user, given)} {command}"
    )
    namespaces = f"unshare --mount --pid --fork --kill-child sh -euc {shlex.quote(inner)}"
    script = f"{namespaces} & echo $! > /run/{name}.pid; wait $!"
    with subprocess.Popen(machine.inside("sh", "-uc", script), stdin=subprocess.DEVNULL) as process:
        try:
            machine.wait_until(lambda: machine.attempt(f"cat /run/{name}.pid").stdout, "it is started")
            yield Container(machine, image, process, name)
        finally:
            machine.attempt(f"kill -KILL $(cat /run/{name}.pid)")


def _volumes(image: Image, name: str) -> str:
    """The script that gives each volume a folder of its own, with the owner and mode that it has in the image."""
    return "".join(
        f"mkdir -p /run/{name}{path}; chown --reference={image.root}{path} /run/{name}{path};"
        f"chmod --reference={image.root}{path} /run/{name}{path};"
        f"mount --bind /run/{name}{path} {image.root}{path};"
        for path in image.volumes
    )
