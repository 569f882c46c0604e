"""What findings come to, and that each says all that a reader needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.ops.doctor.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.ops.doctor.findings import Finding


def said(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """The kinds and verdicts, in their order."""
    found = list(findings)
    for finding in found:
        texts = (finding.what, finding.why, finding.remedy)
        assert all("\n" not in text for text in texts), finding
        assert finding.what
        assert bool(finding.why) == bool(finding.remedy) == (finding.verdict is not Verdict.OK), finding
    return [(str(finding.kind), str(finding.verdict)) for finding in found]


def only(findings: Iterable[Finding]) -> Finding:
    """The finding that is not well, of those that are."""
    found = list(findings)
    said(found)
    [one] = [finding for finding in found if finding.verdict is not Verdict.OK]
    return one
