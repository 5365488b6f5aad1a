"""The last lines that the command prints: every finding with its key figures, and what is missing."""

from collections.abc import Sequence

from experiments.accelerator.figures import plain_figures, words
from experiments.accelerator.findings import Line, is_finished, latest

_MOST_FIGURES, _MOST_NOT_STARTED, _WIDTH = 6, 12, 110


def summary(lines: Sequence[Line], *, scale: str, device_kind: str, not_started: Sequence[tuple[str, str, str]]) -> str:
    """Returns a table of the findings of this scale and device, then the failures, then what was not started."""
    current = [line for line in latest(lines).values() if (line["scale"], line["device_kind"]) == (scale, device_kind)]
    finished = [line for line in current if is_finished(line)]
    failed = [line for line in current if not is_finished(line)]
    rows = [(f"{line['stage']} / {line['name']}", f"{line['seconds']:.1f} s", key_figures(line)) for line in finished]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    parts = [
        f"{len(finished)} findings on {device_kind} at scale {scale}, {len(failed)} failures, "
        f"{len(not_started)} items not started",
        *(f"  {name:<{widths[0]}}  {seconds:>{widths[1]}}  {figures}".rstrip() for name, seconds, figures in rows),
    ]
    if failed:
        parts.append("Failed, and run again by the same command:")
        parts += [f"  {line['stage']} / {line['name']}: {error_text(line)}" for line in failed]
    if not_started:
        parts.append("Not started, for lack of time:")
        parts += [f"  {stage} / {name}: {why}" for stage, name, why in not_started[:_MOST_NOT_STARTED]]
        if len(not_started) > _MOST_NOT_STARTED:
            parts.append(f"  and {len(not_started) - _MOST_NOT_STARTED} more")
    return "\n".join(parts)


def key_figures(line: Line) -> str:
    """Returns the first plain figures of a finding, within a line."""
    figures = list(plain_figures(line["result"]).items())[:_MOST_FIGURES]
    shown = ", ".join(f"{words(name)} {value}" for name, value in figures)
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 3]}..."


def error_text(line: Line) -> str:
    """Returns the error of a line in one short sentence."""
    error = line["error"]
    message = " ".join(error["message"].split())
    return f"{error['type']}: {message if len(message) <= 200 else message[:197] + '...'}"
