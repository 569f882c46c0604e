"""The text: as Prometheus and OpenMetrics want it, for whatever `Accept` header."""

from __future__ import annotations

import re

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from appliance.ops.metrics.exposition import FAMILIES, Exposition
from appliance.runtime.status import Health
from tests.ops.metrics.panel import panel

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain", PLAIN),
        ("text/html,application/xhtml+xml,*/*;q=0.8", PLAIN),
        ("application/openmetrics-text", OPEN),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPEN),
        (PROMETHEUS_3, OPEN),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.4", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;q=much", PLAIN),
        (";;,,;q=,=", PLAIN),
        ("application/openmetrics-text;q=nan", PLAIN),
    ],
)
async def test_the_form_is_the_one_that_is_wanted_most(accept: str, kind: str) -> None:
    told, text = await Exposition(panel()).text(accept)
    assert told == kind
    assert text.endswith(b"\n# EOF\n") == (kind == OPEN)
    assert text.count(b"# EOF") == (kind == OPEN)


@given(st.text())
def test_no_header_breaks_it(accept: str) -> None:
    kind, _ = trio.run(Exposition(panel()).text, accept)
    assert kind in {OPEN, PLAIN}


async def test_both_forms_are_read_and_tell_the_same() -> None:
    instruments = panel()
    instruments.status.health['odd"name\\with\nall'] = Health(running=True)
    instruments.status.traffic.errors["slow_head"] += 1
    exposition = Exposition(instruments)
    plain = list(read_plain((await exposition.text(""))[1].decode()))
    opened = list(read_openmetrics((await exposition.text(OPEN))[1].decode()))  # type: ignore[no-untyped-call]
    assert len(plain) == len(opened) == len(FAMILIES)
    changing = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes"}
    told = [
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for metric in form
            for sample in metric.samples
            if sample.name not in changing
        }
        for form in (plain, opened)
    ]
    assert told[0] == told[1]
    assert [metric.documentation for metric in plain] == [family.meaning for family in FAMILIES]


def test_names_follow_the_conventions() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"(appliance|process)_[a-z_]+[a-z]", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.name.endswith("_info") == (family.kind == "info")
        assert not family.name.endswith(("_count", "_sum", "_bucket"))
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent|gauge|counter)(_|$)", family.name)
        if family.kind == "histogram":
            assert family.name.endswith("_seconds")
        assert all(re.fullmatch("[a-z_]+", label) and label != "le" for label in family.labels)
        assert family.meaning == family.meaning.strip()
        assert not family.meaning.endswith(".")
