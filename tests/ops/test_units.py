"""The texts for systemd, as this version of it and this server need them."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from appliance.ops import units
from appliance.settings.address import Address
from appliance.settings.load import load


def unit(*, python: str = units.PYTHON, program: str = units.PROGRAM, systemd: int = 254) -> str:
    return units.process_unit(python=Path(python), program=Path(program), systemd=systemd)


def process(text: str) -> dict[str, str]:
    """The last value of each key of the process; a list that is added to shows only its end."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # keys keep their case
    parser.read_string(text)
    return dict(parser["Service"])


def test_the_unit_as_it_lies_there_is_what_a_usual_server_gets(root: Path) -> None:
    assert unit() == (root / "packaging" / "systemd" / "appliance.service").read_text()


def test_the_unit_starts_what_is_installed() -> None:
    found = process(unit(python="/opt/python/bin/python3.13", program="/srv/our appliance/50%.pyz"))
    assert found["ExecStart"] == (
        '/opt/python/bin/python3.13 "/srv/our appliance/50%%.pyz" serve --config /etc/appliance/appliance.toml'
    )


@pytest.mark.parametrize(
    ("version", "kind", "reload"),
    [(252, "notify", "/bin/kill -HUP $MAINPID"), (253, "notify-reload", None), (257, "notify-reload", None)],
)
def test_an_older_systemd_is_told_how_to_reload(version: int, kind: str, reload: str | None) -> None:
    found = process(unit(systemd=version))
    assert (found["Type"], found.get("ExecReload")) == (kind, reload)


def test_a_stop_is_given_the_time_that_it_may_take() -> None:
    settings = load(file=None, environment={}).settings
    assert float(process(unit())["TimeoutStopSec"]) > settings.stop.deadline + 4


def test_descriptors_are_enough_for_all_connections() -> None:
    settings = load(file=None, environment={}).settings
    assert int(process(unit())["LimitNOFILE"]) > 2 * settings.limits.connections


def test_the_socket_opens_what_can_be_opened_beforehand() -> None:
    urls = (
        "tls://0.0.0.0:8443",
        "tls://[::]:8443",
        "tcp://192.0.2.1:80",
        "unix:/run/appliance/a 50%",
        "tcp://localhost:8080",  # systemd knows no names
        "tcp://127.0.0.1:0",  # and any free port is not known beforehand
        "unix:relative",
    )
    text = units.socket_unit(map(Address.parse, urls))
    assert text is not None
    assert [line for line in text.splitlines() if line.startswith("ListenStream=")] == [
        "ListenStream=0.0.0.0:8443",
        "ListenStream=[::]:8443",
        "ListenStream=192.0.2.1:80",
        "ListenStream=/run/appliance/a 50%%",
    ]
    assert text.index("[Socket]") < text.index("ListenStream=0") < text.index("[Install]")


def test_without_such_a_place_there_is_no_socket() -> None:
    assert units.socket_unit([Address.parse("tcp://localhost:8080")]) is None


def test_the_first_configuration_is_good_and_listens_where_it_was_told(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    urls = ("tls://0.0.0.0:8443", 'unix:/run/"quoted"')
    file.write_text(units.first_configuration(urls))
    settings = load(file=file, environment={}).settings
    assert tuple(listen.url for listen in settings.listen) == urls
    assert settings.plugins_dir == ("/etc/appliance/plugins",)
