"""What the terminal is told of an audit: a line a finding, one for the shuffles, one for the crops, one for the certificate."""

from collections.abc import Iterator
from typing import Any


def audit_lines(metrics: dict[str, Any]) -> Iterator[str]:
    """The lines that follow the figures; none where no audit or check was made."""
    audit = metrics.get("audit") or {}
    if "omitted" in audit:
        yield f"shortcuts were not looked for: {audit['omitted']}"
    for finding in audit.get("findings", []):
        yield f"{finding['kind']}: {finding['title']}: {finding['text']}"
    checks = metrics.get("checks")
    if not checks:
        return
    some = f" ({checks['records']:,} of {checks['of']:,} records)" if checks["records"] < checks["of"] else ""
    if checks["shuffles"]:
        figures = ", ".join(f"{row['accuracy']:.3f} in blocks of {row['block']:,} bases" for row in checks["shuffles"])
        yield f"accuracy of shuffled records{some}: {figures}; {checks['whole']['accuracy']:.3f} as they are"
    if checks["crops"]:
        figures = ", ".join(
            f"{row['accuracy']:.3f} at {row['length']:,} bases ({row['whole']['accuracy']:.3f} whole)" for row in checks["crops"]
        )
        yield f"accuracy of cropped records{some}: {figures}"
    if certificate := metrics.get("length_certificate"):
        yield (
            f"length certificate: {certificate['shortest']:,} to {certificate['longest']:,} bases; accuracy was measured to hold from the one on, "
            f"the other is the longest record {'trained or tested on' if checks['longest_trained'] else 'tested on (of those trained on no length is known)'}"
        )
