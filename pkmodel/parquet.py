"""Parquet files of a run, written block by block, and Arrow arrays made without loading pandas.

``pyarrow.array`` and ``pyarrow.scalar`` import pandas, to see whether they were given a Series, and that takes half
a second; so arrays are built here from buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pkmodel import ledger
from pkmodel.cases import Case, condition
from pkmodel.chunk import CaseChunk, Chunk, MetricValues
from pkmodel.population import Population
from pkmodel.specs import fields
from pkmodel.study import BLOCK
from pkmodel.whole import named

#: Text that repeats is stored once.
LABEL = pa.dictionary(pa.int32(), pa.string())
METRICS_SCHEMA = pa.schema(
    [
        ("patient", pa.int64()),
        ("arm", LABEL),
        ("model", LABEL),
        ("session", pa.int32()),
        ("output", LABEL),
        ("metric", LABEL),
        ("value", pa.float64()),
        ("unit", LABEL),
        ("condition", LABEL),
    ]
)
LEDGER_SCHEMA = pa.schema(
    [
        ("patient", pa.int64()),
        ("arm", LABEL),
        ("model", LABEL),
        *(
            (name, LABEL if name in ledger.TEXT else pa.int64() if name in ledger.WHOLE else pa.float64())
            for name in ledger.COLUMNS[1:]
        ),
    ]
)
#: The tables with a row per patient; a ledger only where a clinic decides.
METRICS, PATIENTS, LEDGER = "metrics.parquet", "patients.parquet", "ledger.parquet"
_WHOLE = 2**31 - 1
#: Text goes by a dictionary; a double shuffled by its bytes and packed, which is as fast as leaving it as it is; and a
#: number of a patient as its distance from the one before. Limits of a row group stand by patients only.
_HOW: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "write_statistics": ["patient"]}


def writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of tables with a column ``patient``, in the encoding of all files of a run."""
    kinds = {column.name: column.type for column in schema}
    texts = [name for name, kind in kinds.items() if pa.types.is_dictionary(kind) or kind == pa.int32()]
    encoding = {name: "BYTE_STREAM_SPLIT" for name, kind in kinds.items() if kind == pa.float64()}
    encoding |= {name: "DELTA_BINARY_PACKED" for name, kind in kinds.items() if kind == pa.int64()}
    return pq.ParquetWriter(file, schema, use_dictionary=texts, column_encoding=encoding, **_HOW)


def numbers(values: NDArray[Any], known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers as an Arrow array; what is not ``known`` or finite becomes null (a level that was never reached)."""
    kept = np.ascontiguousarray(values)
    validity = None
    if known is None and kept.dtype.kind == "f":
        known = np.isfinite(kept)
    if known is not None and not known.all():
        validity = pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(kept.dtype), kept.size, [validity, pa.py_buffer(kept)])


def labels(names: Sequence[str], which: NDArray[Any]) -> pa.Array:
    """Text by index into ``names``; an index of -1 is null."""
    indices = np.ascontiguousarray(which, dtype=np.int32)
    validity = pa.py_buffer(np.packbits(indices >= 0, bitorder="little"))
    index = pa.Array.from_buffers(pa.int32(), indices.size, [validity, pa.py_buffer(np.maximum(indices, 0))])
    texts = [name.encode() for name in names]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    words = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    return pa.DictionaryArray.from_arrays(index, pa.Array.from_buffers(pa.string(), len(texts), words))


def _repeated(texts: list[str | None], count: int) -> pa.Array:
    """Each of several texts, or null, ``count`` times in turn."""
    words = [text for text in dict.fromkeys(texts) if text is not None]
    places = np.array([-1 if text is None else words.index(text) for text in texts], dtype=np.int32)
    return labels(words, np.repeat(places, count))


def label(text: str | None, count: int) -> pa.Array:
    """One text, or null, ``count`` times."""
    return labels([text] if text is not None else [], np.full(count, -1 if text is None else 0))


def table_of(columns: dict[str, list[Any]]) -> pa.Table:
    """A table from plain columns of numbers or text."""
    arrays = {}
    for name, values in columns.items():
        if values and isinstance(values[0], str):
            words = list(dict.fromkeys(values))
            place = {word: index for index, word in enumerate(words)}
            arrays[name] = labels(words, np.array([place[value] for value in values]))
        else:
            arrays[name] = numbers(np.array(values))
    return pa.Table.from_arrays(list(arrays.values()), names=list(arrays))


def write_bands(columns: dict[str, list[Any]], file: Path) -> None:
    """Write the columns of the bands to a Parquet file."""
    with named(file):
        pq.write_table(table_of(columns), file)


class RunFiles:
    """Writes metrics.parquet and patients.parquet in the order of the patients, one row group per block and case.

    ``severity``: whether the patients have a score, which is a column then; ``block``: patients to a row group.
    """

    def __init__(self, folder: Path, cases: list[Case], *, severity: bool = False, block: int = BLOCK):
        self.cases = cases
        self.block = block
        self.severity = severity
        self.etas = _names(case.model.variability.between_subject.effects for case in cases)
        self.parameters = _names(case.model.parameters for case in cases)
        self.patients_schema = pa.schema(
            [
                ("patient", pa.int64()),
                ("model", LABEL),
                ("sex", LABEL),
                ("age_y", pa.float64()),
                ("weight_kg", pa.float64()),
                ("height_cm", pa.float64()),
                ("ancestry", LABEL),
                *([("severity", pa.float64())] if severity else []),
                ("outside_valid_for", LABEL),
                *((f"eta_{name}", pa.float64()) for name in self.etas),
                *((name, pa.float64()) for name in self.parameters),
            ]
        )
        schemas = {METRICS: METRICS_SCHEMA, PATIENTS: self.patients_schema}
        if any(case.arm.protocol.decides for case in cases):
            schemas[LEDGER] = LEDGER_SCHEMA
        self._folder = folder
        self._writers = {name: writer(folder / name, schema) for name, schema in schemas.items()}
        self._waiting: list[Chunk] = []
        self._count = 0

    def write(self, chunk: Chunk) -> None:
        """Take a chunk; a block of patients becomes a row group whatever the size of the chunks."""
        while chunk.population.size:
            room = self.block - self._count
            part, chunk = _part(chunk, slice(0, room)), _part(chunk, slice(room, None))
            self._waiting.append(part)
            self._count += part.population.size
            if self._count == self.block:
                self._flush()

    def close(self, *, complete: bool = True) -> None:
        """Write what is left, unless the run broke off, and close the files."""
        try:
            if complete:
                self._flush()
        finally:
            with ExitStack() as closing:  # each, whatever becomes of another
                for name, file in self._writers.items():
                    closing.callback(self._close, name, file)

    def _close(self, name: str, file: pq.ParquetWriter) -> None:
        try:
            with named(self._folder / name):
                file.close()
        except OSError:
            file.is_open = False  # else it tries once more when it is taken apart, where nobody can catch what comes
            raise

    def _put(self, name: str, table: pa.Table) -> None:
        with named(self._folder / name):
            self._writers[name].write_table(table, row_group_size=_WHOLE)

    def _flush(self) -> None:
        if not self._waiting:
            return
        models: set[str] = set()
        for index, case in enumerate(self.cases):
            self._put(METRICS, self._metrics_table(index, case))
            if case.model.id not in models:
                models.add(case.model.id)
                self._put(PATIENTS, self._patients_table(index, case))
            if case.arm.protocol.decides:
                self._put(LEDGER, self._ledger_table(index, case))
        self._waiting, self._count = [], 0

    def _metrics_table(self, index: int, case: Case) -> pa.Table:
        first, count = self._waiting[0].population.first + 1, self._count
        heads = self._waiting[0].cases[index].metrics
        said: dict[str, list[str | None]] = {
            "arm": [case.arm.name for _ in heads],
            "model": [case.model.id for _ in heads],
            "output": [head.request.output or None for head in heads],
            "metric": [head.request.metric for head in heads],
            "unit": [head.unit for head in heads],
            "condition": [condition(head.request, head.span, case.model) for head in heads],
        }
        arrays = {name: _repeated(texts, count) for name, texts in said.items()}
        arrays["patient"] = numbers(np.tile(np.arange(first, first + count), len(heads)))
        sessions = np.repeat(np.array([head.span.session for head in heads], dtype=np.int32), count)
        arrays["session"] = numbers(sessions, sessions > 0)
        of_chunk = [chunk.cases[index].metrics for chunk in self._waiting]
        values = [metrics[row].values for row in range(len(heads)) for metrics in of_chunk]
        arrays["value"] = numbers(np.concatenate([np.empty(0), *values]))
        return pa.Table.from_arrays([arrays[name] for name in METRICS_SCHEMA.names], schema=METRICS_SCHEMA)

    def _ledger_table(self, index: int, case: Case) -> pa.Table:
        """What the clinic of a case did in a block of patients; the same whatever the chunks."""
        tables = [table for chunk in self._waiting if (table := chunk.cases[index].ledger) is not None]
        count = sum(table.columns["patient"].size for table in tables)
        arrays = []
        for name in ledger.COLUMNS:
            parts = [table.columns[name] for table in tables]
            if name in ledger.TEXT:
                words = sorted({word for table in tables for word in table.words[name]})
                places = [np.array([*map(words.index, table.words[name]), -1]) for table in tables]
                codes = [place[part] for place, part in zip(places, parts, strict=True)]
                used = np.unique(np.concatenate(codes))
                kept = [words[code] for code in used if code >= 0]
                back = np.full(len(words) + 1, -1)
                back[used[used >= 0]] = np.arange(len(kept))
                arrays.append(labels(kept, back[np.concatenate(codes)]))
            else:
                arrays.append(numbers(np.concatenate(parts)))
        named = [label(case.arm.name, count), label(case.model.id, count)]
        return pa.Table.from_arrays([arrays[0], *named, *arrays[1:]], schema=LEDGER_SCHEMA)

    def _patients_table(self, index: int, case: Case) -> pa.Table:
        first, count = self._waiting[0].population.first + 1, self._count

        def covariate(name: str) -> NDArray[np.float64]:
            return np.concatenate([chunk.population.covariates[name] for chunk in self._waiting])

        def of_case(which: str, name: str) -> pa.Array:
            parts = [getattr(chunk.cases[index], which).get(name) for chunk in self._waiting]
            return pa.nulls(count, pa.float64()) if parts[0] is None else numbers(np.concatenate(parts))

        # A reason for every set of covariates that is outside; as a number, a bit for each covariate.
        names = list(self._waiting[0].cases[index].outside)
        sets = np.zeros(count, dtype=np.int64)
        for bit, name in enumerate(names):
            flags = np.concatenate([chunk.cases[index].outside[name] for chunk in self._waiting])
            sets |= flags.astype(np.int64) << bit
        found, places = np.unique(sets, return_inverse=True)
        reasons = [", ".join(name for bit, name in enumerate(names) if key >> bit & 1) for key in found if key]
        arrays = [
            numbers(np.arange(first, first + count)),
            label(case.model.id, count),
            labels(fields.SEXES, 1 - covariate("female")),
            numbers(covariate("age")),
            numbers(covariate("weight")),
            numbers(covariate("height")),
            labels(fields.ANCESTRIES, covariate("ancestry")),
            *([numbers(covariate("severity"))] if self.severity else []),
            labels(reasons, places - (1 if found.size and found[0] == 0 else 0)),
            *(of_case("etas", name) for name in self.etas),
            *(of_case("parameters", name) for name in self.parameters),
        ]
        return pa.Table.from_arrays(arrays, schema=self.patients_schema)


def _names(groups: Any) -> list[str]:
    """The names in any of several mappings, in order of first sight; covariances (A~B) are not names."""
    return list(dict.fromkeys(name for group in groups for name in group if "~" not in name))


def _part(chunk: Chunk, which: slice) -> Chunk:
    """Some of the patients of a chunk."""
    people = chunk.population
    start, stop, _ = which.indices(people.size)
    if (start, stop) == (0, people.size):
        return chunk
    covariates = {name: values[which] for name, values in people.covariates.items()}
    return Chunk(
        population=Population(people.first + start, stop - start, covariates),
        cases=[
            CaseChunk(
                metrics=[MetricValues(m.request, m.span, m.unit, m.values[which]) for m in case.metrics],
                compared={},
                etas={name: values[which] for name, values in case.etas.items()},
                parameters={name: values[which] for name, values in case.parameters.items()},
                outside={name: flags[which] for name, flags in case.outside.items()},
                ledger=None if case.ledger is None else case.ledger.only(people.first + start + 1, people.first + stop),
            )
            for case in chunk.cases
        ],
    )
