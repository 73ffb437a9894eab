"""What ``pkmodel simulate`` prints and writes, for one patient under one model or under several side by side."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkmodel import console
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem
from pkmodel.whole import whole

if TYPE_CHECKING:
    import pandas as pd

    from pkmodel.simulation import Result


def rows_of(result: Result) -> list[dict[Hashable, Any]]:
    """The sessions of a result; None where an effect has no such figure."""
    rows = result.sessions().to_dict(orient="records")
    return [{key: None if value != value else value for key, value in row.items()} for row in rows]


def head_of(result: Result) -> dict[str, Any]:
    """What was run, as plain data: model, evidence, engine, and the effects where there are any."""
    from pkmodel.specs.attach import described

    head: dict[str, Any] = {"model": result.model.id, "evidence": result.model.evidence}
    head["engine"] = ", ".join([result.engine, *(set(result.methods) - {result.engine})])
    if result.model.effects or result.model.bands:
        head |= {"effects": described(result.model)}
    return head


def table_of(results: Sequence[Result]) -> pd.DataFrame:
    """A long table: subject, model, time_h, output, value, unit."""
    import pandas as pd

    parts = []
    for result in results:
        part = result.to_pandas()
        part.insert(1, "model", result.model.id)
        part.attrs = {}  # of one model only; pandas compares them when it puts tables together
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def warnings_of(results: Sequence[Result]) -> list[str]:
    """The warnings of all results, each sentence once; and where sites of sampling are mixed."""
    from pkmodel import cautions

    said = cautions.between_sites([result.model for result in results])
    return said + cautions.grouped((result.model.id, sentence) for result in results for sentence in result.warnings)


def report(results: Sequence[Result], file: Path | None, *, as_json: bool) -> None:
    """Write or print one patient under several models. Raises InputError where a model is named twice."""
    names = [result.model.id for result in results]
    if again := next((name for index, name in enumerate(names) if name in names[:index]), None):
        raise InputError(Problem(f"{again} a second time", "each model once", "--model"))
    said = warnings_of(results)
    if file is not None:
        with whole(file) as part:
            if file.suffix == ".png":
                from pkmodel import model_figures

                model_figures.results_figure(results, said).savefig(part, dpi=130, format="png")
            elif file.suffix == ".csv":
                table_of(results).to_csv(part, index=False, lineterminator="\n")
            else:
                table_of(results).to_parquet(part, index=False)
    if as_json:
        models = [{**head_of(result), "sessions": rows_of(result)} for result in results]
        console.print_json({"disclaimer": NOT_FOR_CARE, "warnings": said, "models": models})
    elif file is None:
        for result in results:
            console.sessions(result, rows_of(result))
    for sentence in said:
        console.note(f"note: {sentence}")
    if file is not None:
        console.note(f"{file}: {len(results)} models, {results[0].time.size:,} times. {NOT_FOR_CARE}")
