"""A few words of SVG: elements, whose text and attributes are escaped, and axes with round ticks."""

import math
from dataclasses import dataclass

from markupsafe import Markup


def element(name: str, *children: str, **attributes: object) -> Markup:
    """`<name attribute="value">children</name>`; `class_` is `class`, other underscores are hyphens; text that is not markup is escaped."""
    written = Markup("").join(Markup(' {}="{}"').format(_attribute(key), _value(value)) for key, value in attributes.items())
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, Markup("").join(children))


def picture(width: int, height: int, description: str, *children: str) -> Markup:
    """A drawing that scales to its place on the page and is read out as `description`."""
    return element(
        "svg",
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=description,
        class_="chart",
    )


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high` laid out from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value; one outside the axis lies on its nearer end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About `count` round values on the axis."""
        step = _round_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def spanning(
    values: list[float], start: float, end: float, *, low: float | None = None, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Axis:
    """An axis from `low`, or the round number below the values, to the round number above them; never outside what the values can be, `bounds`."""
    bottom = min(values, default=0.0) if low is None else low
    top = max([bottom, *values])
    more = max(_least_width(bottom, top) - (top - bottom), 0.0)
    if low is None:
        bottom, top = bottom - more / 2, top + more / 2
    else:
        top += more
    step = _round_step((top - bottom) / 5)
    bottom = math.floor(bottom / step + 1e-9) * step if low is None else low
    return Axis(max(bottom, bounds[0]), min(math.ceil(top / step - 1e-9) * step, bounds[1]), start, end)


def tick_text(value: float) -> str:
    """A tick's value, short: `0.25`, `1,000`, `250k`."""
    if abs(value) >= 100_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _least_width(bottom: float, top: float) -> float:
    """Of an axis whose five ticks still differ in `tick_text`."""
    size = max(abs(bottom), abs(top))
    return 0.05 * 10.0 ** math.floor(math.log10(size)) if size > 1e-9 else 1.0


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _attribute(key: str) -> str:
    return key if key == "viewBox" else key.rstrip("_").replace("_", "-")


def _value(value: object) -> object:
    return f"{value:.1f}" if isinstance(value, float) else value
