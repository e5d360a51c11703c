"""The curves of a run as one SVG: small plots of every logged number over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from vlm_forensics.tuning import watching

_WIDTH, _HEIGHT, _PAD = 260, 130, 24
_COLUMNS = 3
_LEFT_OUT = ("runtime", "per_second", "flos", "total", "epoch", "clip_ratio", "frac_", "step_time",
             "sampling", "max", "min", "mean_terminated")  # fmt: skip


def draw(run: Path) -> None:
    """Writes `curves.svg` from the run's logs, if two steps or more were logged."""
    rows = watching.read(run / watching.LOG) + watching.read(run / watching.VALIDATION)
    series: dict[str, list[tuple[int, float]]] = {}
    for step, name, value in rows:
        if not any(part in name for part in _LEFT_OUT) and not name.endswith("/std"):
            series.setdefault(name, []).append((step, value))
    plots = {name: sorted(points) for name, points in series.items() if len(points) > 1}
    if plots:
        (run / "curves.svg").write_text(svg(plots), encoding="utf-8")


def svg(plots: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Small multiples, each with its own scale; the grey line is the number as it was logged."""
    lines = -(-len(plots) // _COLUMNS)
    drawn = [
        f'<g transform="translate({n % _COLUMNS * _WIDTH},{n // _COLUMNS * _HEIGHT})">'
        f"{_plot(name, points)}</g>"
        for n, (name, points) in enumerate(plots.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_COLUMNS * _WIDTH} '
        f'{lines * _HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def _plot(name: str, points: Sequence[tuple[float, float]]) -> str:
    steps, values = [p[0] for p in points], [p[1] for p in points]
    low, high = min(values), max(values)
    across, up = max(steps[-1] - steps[0], 1), (high - low) or 1.0

    def line(ys: Sequence[float]) -> str:
        return " ".join(
            f"{_PAD + (x - steps[0]) / across * (_WIDTH - 2 * _PAD):.1f},"
            f"{_HEIGHT - _PAD - (y - low) / up * (_HEIGHT - 2 * _PAD):.1f}"
            for x, y in zip(steps, ys, strict=True)
        )

    return (
        f'<text x="{_PAD}" y="14">{escape(name)}</text>'
        f'<polyline fill="none" stroke="#bbb" points="{line(values)}"/>'
        f'<polyline fill="none" stroke="#0b57a4" stroke-width="2" points="{line(smooth(values))}"/>'
        f'<text x="{_PAD}" y="{_HEIGHT - 6}" fill="#666">{steps[0]:g} to {steps[-1]:g}, '
        f"{low:.3g} to {high:.3g}</text>"
    )


def smooth(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Exponential moving average, started at the first value."""
    found: list[float] = []
    for value in values:
        found.append(value if not found else weight * found[-1] + (1 - weight) * value)
    return found
