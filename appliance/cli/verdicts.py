"""What the doctor found, as lines for people and as JSON for programs.

Must not know how it was found.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from appliance.cli.findings import printable
from appliance.ops.doctor.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from appliance.ops.doctor.findings import Finding

_WIDTH: Final = max(map(len, Verdict))


def lines(finding: Finding) -> Iterator[str]:
    """Give a line of what it is and, where not all is well, one each of why that matters and what to do."""
    yield f"{finding.verdict:<{_WIDTH}}  {finding.kind}: {printable(finding.what)}"
    if finding.verdict is not Verdict.OK:
        yield f"{'':{_WIDTH}}    why: {printable(finding.why)}"
        yield f"{'':{_WIDTH}}    do:  {printable(finding.remedy)}"


def summary(findings: Iterable[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    told = [
        _counted(counts[verdict], verdict)
        for verdict in (Verdict.PROBLEM, Verdict.WARNING, Verdict.NOTE)
        if counts[verdict]
    ]
    return ", ".join(told) or "all is well"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def as_json(findings: Sequence[Finding]) -> str:
    content = {
        "good": not has_problem(findings),
        "findings": [
            {
                "kind": finding.kind,
                "verdict": finding.verdict,
                "what": finding.what,
                "why": finding.why,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()


def has_problem(findings: Iterable[Finding]) -> bool:
    return any(finding.verdict is Verdict.PROBLEM for finding in findings)
