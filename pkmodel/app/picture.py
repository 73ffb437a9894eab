"""The picture of the page: levels, effects and doses on one axis of time, as a PNG with the map from pixels to data."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pkmodel.app.compute import Curves
from pkmodel.app.readouts import discharge_level
from pkmodel.app.state import State
from pkmodel.disclaimer import IN_A_FIGURE
from pkmodel.ink import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pkmodel.app.stamps import StampingRenderer
    from pkmodel.plots import Level
    from pkmodel.plots.summary import Summary
    from pkmodel.simulation import Result

#: Points to an inch of a screen as browsers count it; letters grow with a picture wider than this many pixels.
DPI, WIDE, MOST_SCALE = 96.0, 880.0, 1.7
#: Inches around the panels, between them, and of the panel of doses.
_LEFT, _RIGHT, _TOP, _LINE, _BOTTOM, _GAP, _DOSES = 0.92, 0.62, 0.16, 0.2, 0.52, 0.16, 0.95
#: Panels of effects that fit under the levels.
_MOST_UNITS = 2
#: Of 256 colours the lightest are mixed to a hair under white.
_WHITE = 253
#: Inches that an entry of the legend takes.
_ENTRY = 2.0


@dataclass(frozen=True)
class Picture:
    """A PNG, and where its panels are: what the page needs to turn a click into a time."""

    png: bytes
    width: float
    height: float
    coordmap: dict[str, Any]


@dataclass(frozen=True)
class Look:
    """How large a picture is to be: px, and dots to a px of the screen."""

    width: float
    height: float
    ratio: float = 1.0


def scale_of(width: float) -> float:
    """How much larger than at a desk letters are drawn on a picture so many pixels wide."""
    return min(max(width / WIDE, 1.0), MOST_SCALE)


def figure_of(
    state: State,
    shown: Curves,
    people: Mapping[str, Result | Summary],
    width: float,
    height: float,
    *,
    foot: bool = False,
    kept: bool = False,
) -> Figure:
    """The figure for a place of so many pixels; ``people`` are the virtual patients by curve, or their summaries.

    ``kept``: on panels that were drawn on before and wiped, because to make panels takes as long as to fill them; such
    a figure is good until the next one is asked for.
    """
    from pkmodel import plots

    scale = scale_of(width)
    view, results = state.view, dict(shown.results)
    drawn: dict[str, Result | Summary] = {name: people.get(name, result) for name, result in results.items()}
    outputs = ["parent", *(["metabolite"] if view.metabolites and _has_metabolite(results) else [])]
    groups = effect_groups(shown)
    columns = max(2, min(4, int((width / DPI / scale - _LEFT) / _ENTRY)))
    entries = len(drawn) * len(outputs) + (3 if people else 0)
    lines = 0 if entries < 2 else -(-entries // columns)
    page, levels, effects, doses = (_wiped if kept else _panels)(width, height, len(groups), lines, foot)
    common: dict[str, Any] = {"clock": view.clock or None, "window": (0.0, shown.until)}
    # One curve alone needs no name; with a name the function would write it into the legend.
    given: Any = next(iter(drawn.values())) if len(drawn) == 1 else drawn
    plots.concentration(
        given,
        outputs=outputs,
        ax=levels,
        dose_ax=doses,
        limits=levels_of(state, shown),
        log=view.log,
        normalise=view.normalise,
        marks_of_peak=not people and len(drawn) <= 3 and not view.normalise,
        **common,
    )
    for axes, (_, names) in zip(effects, groups, strict=True):
        having = {
            name: result for name, result in drawn.items() if any(effect in result.model.effects for effect in names)
        }
        if not having:
            continue
        one: Any = next(iter(having.values())) if len(drawn) == 1 else having
        plots.concentration(one, outputs=names, ax=axes, **common)
        axes.set_xlabel("")
        for tick in [text for text in axes.texts if text.get_gid() == "x tick"]:  # the axis of time is at the foot
            tick.remove()
        axes.set_ylabel(_effect_label(names, having), fontsize=8.5)
        if len(names) == 1 and (legend := axes.get_legend()) is not None:
            legend.remove()
    levels.set_ylabel(levels.get_ylabel().replace(" patients", ""), fontsize=9.5)
    for axes in (levels, *effects):
        for said in [
            text for text in axes.texts if text.get_rotation() == 90
        ]:  # the grades, which the page and the foot say
            said.remove()
    if people:
        doses.set_ylabel("rate [mg/h]\nmedian" if "rate" in doses.get_ylabel() else "dose [mg]\nmedian", fontsize=9.5)
        for name, result in results.items():
            if name in people:
                _own_line(result, outputs[0], levels, normalise=view.normalise)
    _legend(levels, columns, patient=bool(people))
    if foot:
        models = {curve.model: curve.result.model.evidence for curve in shown.by_name.values()}
        named = ", ".join(f"{name} (evidence: {grade})" for name, grade in models.items())
        page.text(0.005, 0.008, f"{IN_A_FIGURE} {named}", fontsize=8, color="#444444")
    return page


def _effect_label(names: Sequence[str], having: Mapping[str, Result | Summary]) -> str:
    """The name of a panel of effects in lines that fit a low one."""
    from pkmodel.plots import unit_of

    unit = unit_of(next(r.model for r in having.values() if names[0] in r.model.effects), names[0])
    unit = unit.replace("fraction of maximal effect", "share of max.")
    what = names[0].rpartition("_")[0] if names[0][-4:].isdigit() else names[0]
    return f"{what.replace('_', ' ') if len(names) == 1 else 'effects'}\n[{unit.replace(', ', chr(10))}]"


def _has_metabolite(results: Mapping[str, Result]) -> bool:
    return any(len(result.model.outputs) > 1 for result in results.values())


def _own_line(result: Result, output: str, ax: Axes, *, normalise: bool) -> None:
    """The patient of the page over the band of the others."""
    level = result.level(output)[0]
    ax.plot(result.time, level / (level.max() or 1.0) if normalise else level, color=INK, linewidth=1.1, zorder=4)


def effect_groups(shown: Curves) -> list[tuple[str, list[str]]]:
    """The effects that are drawn, by what they are counted in."""
    from pkmodel.plots import unit_of

    groups: dict[str, list[str]] = {}
    for name in shown.effects:
        for result in shown.results.values():
            if name in result.model.effects:
                groups.setdefault(unit_of(result.model, name), []).append(name)
                break
    return list(groups.items())[:_MOST_UNITS]


def levels_of(state: State, shown: Curves) -> list[Level]:
    """The limits to draw on the levels, in the unit of the first curve's parent."""
    from pkmodel.plots import Level

    curve = next(iter(shown.by_name.values()))
    model = curve.result.model
    unit = model.observables[model.parent]
    found = []
    if state.limits.upper is not None:
        found.append(Level(state.limits.upper, unit, "limit", "<="))
    if state.limits.lower is not None:
        found.append(Level(state.limits.lower, unit, "to reach", ">="))
    leave = discharge_level(curve, state.limits)
    if leave is not None and leave[0] == model.parent:
        found.append(Level(leave[1], unit, "leaves below", ""))
    return found


def _legend(ax: Axes, columns: int, *, patient: bool) -> None:
    """The legend above the levels in so many columns, and with the patient of the page where others are drawn."""
    from matplotlib.lines import Line2D

    before = ax.get_legend()
    if before is None:
        return
    handles: list[Any] = [handle for handle in before.legend_handles if handle is not None]
    labels = [text.get_text() for text in before.get_texts()]
    if patient:
        handles.append(Line2D([], [], color=INK, linewidth=1.1))
        labels.append("the patient")
    look: dict[str, Any] = {"frameon": False, "fontsize": 9.5, "columnspacing": 1.3, "handlelength": 2.6}
    ax.legend(handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, borderaxespad=0.1, **look)


_Panels = tuple["Figure", "Axes", list["Axes"], "Axes"]


def _panels(across: float, down: float, effects: int, lines: int, foot: bool) -> _Panels:
    """Panels of levels, effects and doses, one above the other in a figure of so many pixels.

    They are sized in inches so that labels keep their room at every size; ``lines`` are those of the legend.
    """
    from matplotlib.figure import Figure

    scale = scale_of(across)
    width, height = across / DPI / scale, down / DPI / scale
    page = Figure(figsize=(width, height), dpi=DPI * scale)
    bottom = _BOTTOM + (0.18 if foot else 0.0)
    doses = min(_DOSES, 0.26 * height)
    room = height - _TOP - lines * _LINE - bottom - doses - (1 + effects) * _GAP
    each = 0.36 * room / max(effects, 1) if effects else 0.0
    left, wide = _LEFT / width, 1 - (_LEFT + _RIGHT) / width
    at = bottom

    def panel(tall: float) -> Axes:
        nonlocal at
        axes = page.add_axes((left, at / height, wide, max(tall, 0.1) / height))
        at += tall + _GAP
        return axes

    given = panel(doses)
    lower = [panel(each) for _ in range(effects)]
    return page, panel(room - effects * each), lower[::-1], given


@lru_cache(maxsize=8)
def _drawn_before(across: float, down: float, effects: int, lines: int, foot: bool) -> _Panels:
    return _panels(across, down, effects, lines, foot)


def _wiped(across: float, down: float, effects: int, lines: int, foot: bool) -> _Panels:
    """The same panels again, with nothing on them."""
    page, levels, lower, given = _drawn_before(across, down, effects, lines, foot)
    own = (levels, *lower, given)
    for axes in page.axes:
        if axes not in own:
            axes.remove()
    page.set_dpi(DPI * scale_of(across))
    for text in list(page.texts):
        text.remove()
    for axes in own:
        for artist in (*axes.lines, *axes.collections, *axes.patches, *axes.texts):
            artist.remove()
        if (legend := axes.get_legend()) is not None:
            legend.remove()
        axes.set_xlabel("")
        axes.set_ylabel("")
        axes.set_yscale("linear")
        for spine in axes.spines.values():
            spine.set_visible(True)
    return page, levels, lower, given


@lru_cache(maxsize=4)
def _renderer(width: int, height: int, dpi: float) -> StampingRenderer:
    from pkmodel.app.stamps import StampingRenderer

    return StampingRenderer(width, height, dpi)


def on_screen(figure: Figure, ratio: float = 1.0) -> Picture:
    """A figure as a PNG of 256 colours for a screen with ``ratio`` dots to a pixel: a third of the bytes, made faster.

    The renderer is used again, so that it knows the texts that it has drawn before.
    """
    from PIL import Image

    width, height = (float(inches * figure.dpi) for inches in figure.get_size_inches())
    panels = [_panel(axes, index + 1, height) for index, axes in enumerate(figure.axes)]
    figure.set_dpi(figure.dpi * ratio)
    across, down = round(width * ratio), round(height * ratio)
    renderer = _renderer(across, down, figure.dpi)
    renderer.clear()  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    pixels = renderer.buffer_rgba()  # type: ignore[no-untyped-call]
    whole = Image.frombuffer("RGBA", (across, down), pixels, "raw", "RGBA", 0, 1).convert("RGB")
    few = whole.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = few.getpalette() or []
    few.putpalette([255 if value >= _WHITE else value for value in palette])
    file = io.BytesIO()
    few.save(file, format="png", compress_level=1)
    return Picture(file.getvalue(), width, height, {"panels": panels, "dims": {"width": width, "height": height}})


def drawn(figure: Figure, ratio: float = 1.0) -> Picture:
    """A figure as a PNG for a screen with ``ratio`` dots to a pixel, in all its colours."""
    width, height = (float(inches * figure.dpi) for inches in figure.get_size_inches())
    panels = [_panel(axes, index + 1, height) for index, axes in enumerate(figure.axes)]
    file = io.BytesIO()
    # Weak compression: half the time for a picture that goes no further than this machine.
    figure.savefig(file, format="png", dpi=figure.dpi * ratio, pil_kwargs={"compress_level": 1})
    return Picture(file.getvalue(), width, height, {"panels": panels, "dims": {"width": width, "height": height}})


def _panel(axes: Axes, number: int, height: float) -> dict[str, Any]:
    """A panel as Shiny maps clicks: data coordinates of its edges, and where these are in pixels from the top left."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
    return {
        "panel": number,
        "domain": {"left": left, "right": right, "bottom": 0.0, "top": 1.0},  # nobody asks for the height
        "range": {"left": float(x0), "right": float(x1), "bottom": height - float(y0), "top": height - float(y1)},
        "log": {"x": None, "y": None},
        "mapping": {"x": None, "y": None},
    }
