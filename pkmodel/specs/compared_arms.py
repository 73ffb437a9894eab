"""The arms of a comparison: every protocol on every model that is asked for, in every population; their names.

An arm is called as its protocol where there is one model and one population; else as what differs: the model, the
population, or ``PROTOCOL_on_MODEL_in_POPULATION`` as far as there are several of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs import defaults
from pkmodel.specs.library import DrugMode, load_model, load_population, load_protocol
from pkmodel.specs.loading import find, is_path
from pkmodel.specs.protocol import ProtocolSpec

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Chosen:
    """The model of an arm: who chose it, and why."""

    arm: str
    model: str
    default: bool
    why: str


@dataclass(frozen=True)
class ComparedArm:
    """An arm before it is loaded: where its protocol is from, its model, and the population by its name."""

    name: str
    protocol: str
    chosen: Chosen
    population: str
    drug: DrugMode


@dataclass(frozen=True)
class Compared:
    """The arms of a comparison, and where each population is from, by its name."""

    arms: tuple[ComparedArm, ...]
    populations: Mapping[str, str]
    titles: tuple[str, ...]


def placed(problem: Problem, option: str) -> Problem:
    """A mistake in what an option names, at that option unless it lies in a file."""
    return problem if problem.where else problem.at(where=option)


def arms_of(
    protocols: Sequence[str],
    models: Mapping[str, str],
    on: Sequence[str],
    populations: Sequence[str],
    drug: DrugMode = "match",
) -> Compared:
    """The arms, each protocol's together, the populations one after another.

    Parameters
    ----------
    protocols
        names or paths, each with a name before it where that is wanted (``NAME=PROTOCOL``).
    models
        protocol by its name -> model, where it shall have one of its own.
    on
        models that every other protocol runs on, one after another; none for the default one.
    drug
        how a model of another drug than the protocol's is given the dose.

    Raises
    ------
    InputError
        where a name is wrong, an arm is there twice, or there are fewer than two.
    """
    loaded = _protocols(protocols)
    for name in models:
        if name not in loaded:
            raise InputError(unknown_name("an arm", name, loaded, where="--model"))
    named = _populations(populations)
    groups = {}
    for name, source in named.items():
        try:
            groups[name] = defaults.group_of(load_population(source))
        except InputError as error:
            raise InputError([placed(problem, "--population") for problem in error.problems]) from None
    shared = _models(on)
    many = len(shared) > 1 and any(name not in models for name in loaded)
    found: list[ComparedArm] = []
    for population in named:
        for key, (source, protocol) in loaded.items():
            own = {} if key in models else shared
            for label, model in own.items() if own else ((None, None),):
                parts = [key] if len(loaded) > 1 or not (many or len(named) > 1) else []
                parts += [label] if label is not None and many else []
                name = _joined(parts, population if len(named) > 1 else None)
                if model is not None or key in models:
                    chosen = Chosen(name, model or models[key], False, "as asked")
                else:
                    choice = defaults.model_for(protocol, groups[population], arm=key)
                    chosen = Chosen(name, choice.model, True, choice.why)
                mode = drug if drug != "match" and _foreign(chosen.model, protocol, key) else "match"
                found.append(ComparedArm(name, source, chosen, population, mode))
    if len(found) < 2:
        expected = "at least two protocols, or several --model or --population"
        raise InputError(Problem(f"{len(found)} protocol", expected, where="compare"))
    names = [arm.name for arm in found]
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        found_twice = f"the arm {twice} a second time"
        raise InputError(Problem(found_twice, "arms of different names, as NAME=PROTOCOL", where="compare"))
    _apart(found, loaded)
    return Compared(tuple(found), named, tuple(protocol.title for _, protocol in loaded.values()))


def _joined(parts: Sequence[str], population: str | None) -> str:
    """The name of an arm, of what differs between arms."""
    name = "_on_".join(parts)
    if population is not None:
        name = f"{name}_in_{population}" if name else population
    if _NAME.fullmatch(name) is None:
        expected = "a name of at most 64 letters, digits and _: a shorter one as NAME=PROTOCOL"
        raise InputError(Problem(f"the arm {name}", expected, where="compare"))
    return name


def _apart(arms: Sequence[ComparedArm], loaded: Mapping[str, tuple[str, ProtocolSpec]]) -> None:
    """No arm may be another one under another name."""
    protocols = dict(loaded.values())
    seen: list[tuple[ProtocolSpec, str, str]] = []
    for arm in arms:
        what = (protocols[arm.protocol], arm.chosen.model, arm.population)
        if what in seen:
            found = f"{arm.protocol} on {arm.chosen.model} a second time"
            raise InputError(Problem(found, "each protocol once, or on models of their own", where="compare"))
        seen.append(what)


def _foreign(model: str, protocol: ProtocolSpec, arm: str) -> bool:
    """Whether a model is of another drug than a protocol."""
    try:
        return protocol.drugs != [load_model(model).drug]
    except InputError as error:
        raise InputError([problem.at(where="compare", path=f"{arm}.model") for problem in error.problems]) from None


def _safe(source: str, kind: str) -> str:
    """A name for what is from a path or a name: its letters and digits."""
    name = find(kind, source).stem if is_path(source) else source
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:60]
    return name if name[:1].isalpha() else f"arm_{name}"


def _protocols(words: Sequence[str]) -> dict[str, tuple[str, ProtocolSpec]]:
    """The protocols by name, with where each is from."""
    found: dict[str, tuple[str, ProtocolSpec]] = {}
    unnamed: set[str] = set()
    for word in words:
        given, equals, source = word.partition("=")
        if not equals or _NAME.fullmatch(given) is None:
            given, source = "", word
        protocol = load_protocol(source)
        name = given or _safe(source, "protocols")
        if not given:
            # One that was given a name may run on a model of its own: whether it does is seen when models are known.
            twin = next((arm for arm in found if arm == name or (arm in unnamed and found[arm][1] == protocol)), None)
            unnamed.add(name)
        else:
            twin = name if name in found else None
        if twin is not None:
            same = source if found[twin][1] == protocol else f"{source}, another protocol called {twin},"
            raise InputError(Problem(f"{same} a second time", "each protocol once", where="compare"))
        found[name] = (source, protocol)
    return found


def _models(sources: Sequence[str]) -> dict[str, str]:
    """The models by the name that arms are called by, with where each is from."""
    found: dict[str, str] = {}
    for source in sources:
        try:
            name = load_model(source).id
        except InputError as error:
            raise InputError([placed(problem, "--model") for problem in error.problems]) from None
        if name in found:
            raise InputError(Problem(f"{name} a second time", "each model once", where="--model"))
        found[name] = source
    return found


def _populations(sources: Sequence[str]) -> dict[str, str]:
    """The populations by name, with where each is from."""
    found: dict[str, str] = {}
    for source in sources:
        name = _safe(source, "populations")
        if name in found:
            raise InputError(Problem(f"{shown(name)} a second time", "each population once", where="--population"))
        found[name] = source
    return found
