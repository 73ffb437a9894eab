"""Draw every picture of pkmodel.plots once, into docs/images/gallery, with few patients: see docs/gallery.md.

Each function below is a picture; its body is the call that stands on the page. `python docs/gallery.py [NAME ...]`
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

import pkmodel as pk
from pkmodel import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.outcome import Study
    from pkmodel.population import Population
    from pkmodel.simulation import Result

FOLDER = Path(__file__).parent / "images" / "gallery"
PATIENT = pk.Patient(weight="70 kg", age="45 y", sex="female", height="165 cm")
NASAL = "esketamine_perezruixo2021"
CEILING = plots.Level(150, "ng/mL", "ceiling", "<=")
FLOOR = plots.Level(50, "ng/mL", "floor", ">=")
PICTURES: dict[str, Callable[[], Axes]] = {}


def picture(function: Callable[[], Axes]) -> Callable[[], Axes]:
    """Enter a picture under the name of its function."""
    PICTURES[function.__name__] = function
    return function


@cache
def people(model: str, n: int) -> Population:
    """The same ``n`` adults for every regimen."""
    from pkmodel.population import sample_covariates, sample_effects

    people = sample_covariates(pk.load_population("adults_trials"), 1, 0, n)
    return sample_effects(people, pk.load_model(model), 1)


@cache
def simulated(
    protocol: str, model: str, n: int = 1, until: str | None = None, every: str = "2 min", effects: tuple[str, ...] = ()
) -> Result:
    """A protocol in the typical patient, or in ``n`` adults."""
    who = PATIENT if n == 1 else people(model, n)
    return pk.simulate(protocol, model, who, until=until, every=every, effects=effects)


@cache
def study(name: str, n: int) -> Study:
    """A shipped scenario in ``n`` patients."""
    from pkmodel import study as studies

    return studies.run(pk.load_scenario(name).with_options(n=n))


@picture
def concentration() -> Axes:
    result = simulated("iv_single", "ketamine_kamp2020", until="6 h", every="1 min")
    return plots.concentration(result, limits=[CEILING, FLOOR], marks_of_peak=True)


@picture
def concentration_a_against_b() -> Axes:
    vein = simulated("esketamine_iv_single", NASAL, until="6 h", every="1 min")
    nose = simulated("esketamine_nasal_acute", NASAL, until="6 h", every="1 min")
    return plots.concentration(
        {"vein": vein, "nose": nose}, outputs=("parent", "metabolite"), clock="09:00", marks_of_peak=True
    )


@picture
def concentration_log() -> Axes:
    result = simulated("anaesthesia_bolus", "ketamine_domino1984", until="3 h", every="10 s")
    return plots.concentration(result, log=True, marks_of_peak=True)


@picture
def concentration_of_a_course() -> Axes:
    result = simulated("iv_taper_dose_and_interval", "ketamine_clements1981", every="10 min")
    return plots.concentration(result)


@picture
def concentration_in_a_population() -> Axes:
    result = simulated("esketamine_nasal_acute", NASAL, n=500, until="6 h")
    return plots.concentration(result, limits=[CEILING, FLOOR])


@picture
def concentration_normalised() -> Axes:
    vein = simulated("esketamine_iv_single", NASAL, until="6 h", every="1 min")
    nose = simulated("esketamine_nasal_acute", NASAL, until="6 h", every="1 min")
    return plots.concentration({"vein": vein, "nose": nose}, normalise=True, window=(0, 4))


@picture
def doses() -> Axes:
    return plots.doses(simulated("esketamine_iv_then_nasal", NASAL, every="5 min"), window=(0, 24 * 28))


@picture
def regimens_overlay() -> Axes:
    vein = simulated("esketamine_iv_single", NASAL, n=500, until="6 h")
    nose = simulated("esketamine_nasal_acute", NASAL, n=500, until="6 h")
    return plots.regimens_overlay({"vein": vein, "nose": nose})


@picture
def bands() -> Axes:
    return plots.bands(study("iv_taper_versus_flat", 500), "taper")


@picture
def session_peaks() -> Axes:
    return plots.session_peaks(study("iv_taper_versus_flat", 500))


@picture
def models_overlay() -> Axes:
    ax = plots.models_overlay(study("model_spread", 200), sampling="venous")
    ax.set_position((0.08, 0.13, 0.62, 0.82))
    return ax


@picture
def effect_against_level() -> Axes:
    result = simulated(
        "iv_single", "ketamine_kamp2020", until="6 h", every="1 min", effects=("dissociation_olofsen2022",)
    )
    return plots.effect_against_level(result, "dissociation")


@picture
def effect_against_level_illustrative() -> Axes:
    result = simulated("esketamine_nasal_acute", NASAL, until="12 h", every="1 min", effects=("nmda_occupancy",))
    return plots.effect_against_level(result, "nmda_occupancy")


@picture
def half_times() -> Axes:
    models = ("ketamine_domino1984", "ketamine_clements1981", "ketamine_kamp2020", NASAL, "esketamine_simons2022")
    return plots.half_times(models, patient=PATIENT, longest=8)


@picture
def accumulation() -> Axes:
    result = simulated("iv_twice_weekly", "ketamine_herd2007_norketamine", n=200, every="1 h")
    return plots.accumulation(result, output="metabolite")


@picture
def compartments() -> Axes:
    return plots.compartments(NASAL)


@picture
def compartments_with_amounts() -> Axes:
    return plots.compartments(result=simulated("esketamine_nasal_acute", NASAL, until="6 h", every="1 min"), at=1.0)


@picture
def tornado() -> Axes:
    from pkmodel import sensitivity
    from pkmodel.specs.design import explored

    scenario, metric = explored("iv_taper_versus_flat", "peak", None, arm="taper")
    return plots.tornado(sensitivity.run(scenario.with_options(n=512), metric=metric))


@picture
def dose_duration_map() -> Axes:
    from pkmodel import dose_finding
    from pkmodel.specs.design import prepare

    request = prepare("iv_taper_versus_flat", ["taper.from", "phases[1].over"], ["peak"], arm="taper", n=300, points=9)
    return plots.dose_duration_map(dose_finding.run(request))


@picture
def forest() -> Axes:
    return plots.forest(study("iv_taper_versus_flat", 500))


def main(names: list[str]) -> None:
    """Draw the pictures of these names, or all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or PICTURES:
        page = PICTURES[name]().get_figure(root=True)
        assert page is not None
        buffer = io.BytesIO()
        page.savefig(buffer, format="png", dpi=80)
        Image.open(buffer).convert("RGB").quantize(48, dither=Image.Dither.NONE).save(
            FOLDER / f"{name}.png", optimize=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
