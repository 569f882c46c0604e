"""docs/metrics.md, the dashboard and the alert rules, held against the metrics that there are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.core.errors import ErrorCode
from appliance.ops.metrics.channels import STANDINGS
from appliance.ops.metrics.exposition import FAMILIES
from appliance.ops.metrics.machinery import MODES
from appliance.runtime.intake import Outcome
from appliance.settings.limits import COUNTED
from appliance.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# --- The page ---

ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (?:(`.+?`) )?\| (.+) \|$", re.MULTILINE)
BLOCK = re.compile(r"^<!-- (\S+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_each_metric_has_its_row_and_each_row_its_metric(page: str) -> None:
    rows = {
        name: (kind, tuple(re.findall(r"\w+", labels)), meaning)
        for name, kind, labels, meaning in ROW.findall(page)
    }
    there = {family.name: (family.kind, family.labels, family.meaning) for family in FAMILIES}
    assert rows == there
    assert len(ROW.findall(page)) == len(rows)


def test_its_configurations_are_good(page: str, tmp_path: Path) -> None:
    texts = [text for name, _, text in BLOCK.findall(page) if name == "appliance.toml"]
    assert len(texts) == 2
    key = tmp_path / "prometheus.key"
    key.write_text("sk_of-prometheus\n", encoding="utf-8")
    key.chmod(0o600)
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}.toml"
        file.write_text(text.replace("/etc/appliance/prometheus.key", str(key)), encoding="utf-8")
        loaded = load(file=file, environment={})
        assert not loaded.mistakes
        assert (loaded.settings.auth.keys or loaded.settings.listen[1].auth == "none") is not None


def test_its_links_lead_somewhere(page: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#([\w-]+))?\)", page)
    assert links
    for place, heading in links:
        text = (root / "docs" / place).read_text(encoding="utf-8")
        assert not heading or re.search(rf"^#+ {heading}$", text, re.MULTILINE | re.IGNORECASE)


# --- What the expressions of the dashboard and the rules may say ---

OF_PROMETHEUS = {"job", "instance"}
"""Labels that it adds by itself."""
WORDS = {
    *("sum", "min", "max", "count", "by", "without", "on", "or", "group_left", "rate", "increase", "changes"),
    *("histogram_quantile", "vector", "time"),
}
VALUES = {
    "mode": set(MODES),
    "state": set(STANDINGS),
    "outcome": {*Outcome, "recovered", "unrecovered"},
    "code": set(ErrorCode),
    "limit": set(COUNTED),
    "job": {"appliance", "$job"},
    "instance": {"$instance"},
}
"""What a selector may ask of a label."""

SELECTOR = re.compile(r"(\w+)(?:\{([^}]*)\})?(?:\[[\w$]+\])?")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|without|on) \(([^)]*)\)")


def known() -> dict[str, set[str]]:
    """The labels of every sample, by its name."""
    found = {"up": set(OF_PROMETHEUS)}
    for family in FAMILIES:
        labels = {*family.labels, *OF_PROMETHEUS}
        if family.kind == "histogram":
            found |= {f"{family.name}_bucket": {*labels, "le"}}
            found |= {f"{family.name}_{end}": labels for end in ("count", "sum")}
        else:
            found[family.name] = labels
    return found


KNOWN = known()


def used(expression: str) -> set[str]:
    """The samples that an expression is about; it fails where it names what there is not."""
    assert expression.count("(") == expression.count(")")
    grouped = {label for labels in GROUPED.findall(expression) for label in re.split(r",\s*", labels)}
    found: set[str] = set()
    for name, matchers in SELECTOR.findall(GROUPED.sub("", expression)):
        if name in WORDS or name[0].isdigit():
            assert not matchers
            continue
        assert name in KNOWN, f"{name} in {expression}"
        found.add(name)
        for label, how, values in MATCHER.findall(matchers):
            assert label in KNOWN[name], f"{label} in {expression}"
            assert set(values.split("|") if how == "=~" else [values]) <= VALUES[label], expression
    assert grouped <= {label for name in found for label in KNOWN[name]}, expression
    assert found
    return found


@pytest.mark.parametrize(
    "expression",
    [
        "appliance_nothing > 1",
        "rate(appliance_errors[5m]) > 1",
        'appliance_ready{channel="price"} == 0',
        'appliance_store_mode{mode="tape"} == 1',
        'appliance_plugins{state=~"refused|gone"} > 0',
        "sum by (topic) (appliance_sessions)",
        "sum(appliance_sessions",
        "time() > 1",
    ],
)
def test_an_expression_about_what_there_is_not_is_caught(expression: str) -> None:
    with pytest.raises(AssertionError):
        used(expression)


# --- The dashboard ---

NOT_DRAWN = {
    "appliance_connections",  # drawn for each listener
    "appliance_connections_limit",
    "appliance_channel_stale",  # both are among what is not healthy
    "appliance_channel_quarantined",
    "process_virtual_memory_bytes",  # says little
}


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    file = root / "packaging" / "grafana" / "appliance.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def targets(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield from panel.get("targets", ())


def test_the_dashboard_asks_for_metrics_that_there_are(dashboard: dict[str, Any]) -> None:
    for target in targets(dashboard):
        names = used(target["expr"])
        legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert legend <= {label for name in names for label in KNOWN[name]}, target
        for name in names:
            assert f'{name}{{job="$job", instance=~"$instance"' in target["expr"], target


def test_the_dashboard_draws_every_metric(dashboard: dict[str, Any]) -> None:
    drawn = {name for target in targets(dashboard) for name in used(target["expr"])}
    families = {re.sub(r"_bucket$", "", name) for name in drawn}
    assert {family.name for family in FAMILIES} - families == NOT_DRAWN


def test_the_dashboard_can_be_imported_anywhere(dashboard: dict[str, Any]) -> None:
    assert "id" not in dashboard
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables.keys() == {"datasource", "job", "instance"}
    assert variables["datasource"]["type"] == "datasource"
    own = {"type": "prometheus", "uid": "${datasource}"}
    queried = [each for each in variables.values() if each["type"] == "query"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(each["datasource"] == own for each in (*queried, *panels, *targets(dashboard)))
    for query in queried:
        assert used(re.sub(r"label_values\((.*), \w+\)", r"\1", query["definition"]))


def test_the_panels_of_the_dashboard_do_not_overlap(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(panel["title"] for panel in dashboard["panels"])
    assert all(panel["description"] for panel in dashboard["panels"] if panel["type"] != "row")


# --- The rules ---

HEAD = re.compile(r"(?:# .+\n)+groups:\n  - name: appliance\n    rules:\n")
RULE = re.compile(
    r"      - alert: (?P<alert>\w+)\n"
    r"        expr: >-\n(?P<expr>(?:          \S.*\n)+)"
    r"(?:        for: (?P<wait>\d+[mh])\n)?"
    r"        labels:\n          severity: (?P<severity>\w+)\n"
    r"        annotations:\n"
    r'          summary: "(?P<summary>[^"\\\n]+)"\n'
    r"          description: >-\n(?P<description>(?:            \S.*\n)+)"
)
"""The only shape of a rule in the file: so little of YAML that reading it is no matter of taste."""


@attrs.frozen
class Rule:
    alert: str
    expr: str
    wait: str | None
    severity: str
    summary: str
    description: str


@pytest.fixture(scope="module")
def rules(root: Path) -> list[Rule]:
    text = (root / "packaging" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    head = HEAD.match(text)
    assert head is not None
    found, place = [], head.end()
    while rule := RULE.match(text, place):
        folded = {name: " ".join(value.split()) for name, value in rule.groupdict().items() if value}
        found.append(Rule(**{"wait": None, **folded}))  # type: ignore[arg-type]
        place = rule.end()
    assert text[place:] == ""
    return found


def test_the_rules_ask_for_metrics_that_there_are(rules: list[Rule]) -> None:
    assert len(rules) > 20
    for rule in rules:
        names = used(rule.expr)
        shown = set(re.findall(r"\$labels\.(\w+)", rule.summary))
        assert shown <= set.intersection(*(KNOWN[name] for name in names)) | {"channel"}, rule.alert
        assert "le" not in shown


def test_the_rules_of_the_process_are_about_this_job_alone(rules: list[Rule]) -> None:
    for rule in rules:
        for name in used(rule.expr):
            if not name.startswith("appliance_"):
                assert f'{name}{{job="appliance"}}' in rule.expr


def test_each_rule_says_what_it_means_and_what_to_do(rules: list[Rule]) -> None:
    assert len({rule.alert for rule in rules}) == len(rules)
    assert {rule.severity for rule in rules} == {"critical", "warning"}
    for rule in rules:
        assert rule.alert.startswith("Appliance")
        assert "{{ $labels.instance }}" in rule.summary or "{{ $labels.channel }}" in rule.summary
        assert len(rule.description) > 80
        assert rule.description.endswith(".")
        # A burst of one scrape is no trouble, but what counts over a time of its own.
        assert rule.wait or re.search(r"\[\d+m\]|quarantined", rule.expr), rule.alert


def test_what_the_descriptions_name_is_there(rules: list[Rule]) -> None:
    for rule in rules:
        for name in re.findall(r"\b(?:appliance|process)_\w+", rule.description):
            assert name in KNOWN or f"{name}_bucket" in KNOWN, rule.alert
        for code in re.findall(r"\b[A-Z]+_[A-Z]+\b", rule.description):
            assert code in set(ErrorCode), rule.alert
        for other in re.findall(r"\bAppliance[A-Z]\w+", rule.description):
            assert other in {each.alert for each in rules}, rule.alert
