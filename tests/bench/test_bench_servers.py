from __future__ import annotations

from tests.bench.bench_servers import UNIT, environment


def test_servers_are_measured_in_the_environment_of_the_unit() -> None:
    unit = "[Service]\nEnvironment=A=b=c\n# Environment=X=y\nExecStart=/bin/true\nEnvironment=D=e\n"
    assert environment(unit) == {"A": "b=c", "D": "e"}


def test_that_of_the_appliance_asks_for_large_pages() -> None:
    assert environment(UNIT.read_text()) == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
