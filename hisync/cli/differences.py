"""What `hisync verify` found, for a person and for a program.

Public: `report_as_dict`, `report_lines`, `repaired_lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, Final

from hisync.items import Value
from hisync.mirror.cells import cell_text, to_json
from hisync.verifying.drift import Drift
from hisync.verifying.misfits import Misfit, MisfitKind
from hisync.verifying.repair import Repaired
from hisync.verifying.verify import Report

SHOWN: Final = 20
"""How many of each kind are shown to a person."""

_LONGEST: Final = 60

_WORDS: Final[Mapping[MisfitKind, str]] = {
    MisfitKind.ROW_VANISHED: "sync_base has it, but neither the mirror nor hiTask does",
    MisfitKind.BASE_LOST: "it is hiTask's, but sync_base does not have it",
    MisfitKind.ID_DIFFERS: "its id cell is not hiTask's number",
    MisfitKind.GUID_RENAMED: "its row stands under another guid",
    MisfitKind.TABLE_DIFFERS: "its row stands in another table than it belongs to",
    MisfitKind.GUID_TWICE: "its guid belongs to a row of another table",
    MisfitKind.INSERT_UNSEEN: "a new row that no trigger saw",
    MisfitKind.LEFT_OVER: "hiTask had it once, and has nothing by its guid",
    MisfitKind.INTENT_LEFT: "sync_intents has a request for it that carries no change",
    MisfitKind.ACCOUNT_FORGOTTEN: "sync_state does not say whose mirror it is",
}


def report_as_dict(report: Report, repaired: Repaired | None) -> dict[str, Any]:
    """For `--json`."""
    return {
        "differences": report.differences,
        "rows": report.rows,
        "items": report.items,
        "drift": [
            {**asdict(one), "here": to_json(one.here), "there": to_json(one.there)}
            for one in report.drift
        ],
        "missing": [asdict(one) for one in report.missing],
        "gone": [asdict(one) for one in report.gone],
        "unreadable": [{**asdict(one), "there": to_json(one.there)} for one in report.unreadable],
        "misfits": [
            {
                "kind": one.kind.value,
                "table": one.table,
                "guid": one.guid,
                "id": one.id,
                "what": _what(one),
            }
            for one in report.misfits
        ],
        "waiting": report.waiting,
        "refused": report.refused,
        "not_pulled": report.not_pulled,
        "repaired": _repaired_as_dict(repaired) if repaired is not None else None,
    }


def _repaired_as_dict(repaired: Repaired) -> dict[str, Any]:
    return {
        "complete": repaired.complete,
        "kept": repaired.kept,
        "requeued": repaired.requeued,
        "held": dict(repaired.held),
        "suspects": repaired.suspects,
    }


def report_lines(report: Report) -> Iterator[str]:
    """What was found, what of it waits, and nothing of what to do."""
    yield f"compared {_count(report.rows, 'row')} here with {_count(report.items, 'item')} there"
    yield from _section(
        f"drift: {_count(len(report.drift), 'cell')} unlike hiTask's, and no edit of them waits",
        _drift_lines(report.drift),
        report.drift,
    )
    yield from _section(
        f"missing: {_count(len(report.missing), 'item')} of hiTask without a row here",
        (
            f"  {one.table} {one.guid} {_quoted(one.title)}"
            + (": its row vanished, and nobody's deletion was seen" if one.vanished else "")
            for one in report.missing
        ),
        report.missing,
    )
    yield from _section(
        f"gone: {_count(len(report.gone), 'row')} here that hiTask does not show (any more)",
        (f"  {one.table} {one.guid} {_quoted(one.title)}" for one in report.gone),
        report.gone,
    )
    yield from _section(
        f"unreadable: {_count(len(report.unreadable), 'cell')}",
        (f"  {one.table} {one.guid} {one.reason}" for one in report.unreadable),
        report.unreadable,
    )
    yield from _section(
        f"bookkeeping: {_count(len(report.misfits), 'thing')} amiss",
        (_misfit_line(one) for one in report.misfits),
        report.misfits,
    )
    if not report.differences:
        yield "no differences"
    waiting = ", ".join(_waiting(report))
    if waiting:
        yield f"no difference, but waiting: {waiting}"


def _section(heading: str, lines: Iterable[str], found: Sequence[object]) -> Iterator[str]:
    if not found:
        return
    yield heading
    for number, line in enumerate(lines):
        if number == SHOWN:
            yield "  … and more: --json lists all"
            return
        yield line


def _drift_lines(drift: Sequence[Drift]) -> Iterator[str]:
    for (table, guid, title), cells in groupby(drift, lambda d: (d.table, d.guid, d.title)):
        yield f"  {table} {guid} {_quoted(title)}" + "".join(
            f"\n    {cell.column}: here {_shown(cell.here)}, on hiTask {_shown(cell.there)}"
            for cell in cells
        )


def _misfit_line(misfit: Misfit) -> str:
    return f"  {' '.join(filter(None, (misfit.table, misfit.guid)))}: {_what(misfit)}"


def _what(misfit: Misfit) -> str:
    place = misfit.place
    where = place is not None and (place.table, place.guid) != (misfit.table, misfit.guid)
    return _WORDS[misfit.kind] + (f" ({place.guid})" if place and where else "")


def _waiting(report: Report) -> Iterator[str]:
    if report.waiting:
        states = ", ".join(f"{number} {state}" for state, number in sorted(report.waiting.items()))
        yield f"changes made here that are not sent yet ({states})"
    if report.refused:
        yield f"{_count(report.refused, 'new row')} that hiTask has refused"
    if report.not_pulled:
        yield f"{_count(report.not_pulled, 'item')} changed on hiTask since the last sync"


def repaired_lines(repaired: Repaired, name: str) -> Iterator[str]:
    """What repairing did and left.

    Args:
        repaired: the facts.
        name: how hisync is called, its options included.
    """
    left = sum(repaired.held.values()) + repaired.suspects
    did = [_count(max(0, repaired.report.differences - left), "difference")]
    if repaired.kept:
        kept = _count(repaired.kept, "value")
        did.append(f"{kept} that stood here kept in the table conflicts (`{name} conflicts list`)")
    if repaired.requeued:
        did.append(f"{_count(repaired.requeued, 'new row')} noted, to be sent by the next sync")
    yield "repaired: " + ", ".join(did)
    for table, number in repaired.held.items():
        yield (
            f"held: {_count(number, 'row')} of {table} gone from hiTask; if that is right, run "
            f"`{name} sync --allow-removals {sum(repaired.held.values())}`"
        )
    if repaired.suspects:
        missing = _count(repaired.suspects, "item")
        yield f"left: {missing} missing from one answer only; run `{name} sync`"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _quoted(title: str) -> str:
    return repr(title if len(title) <= _LONGEST else title[: _LONGEST - 1] + "…")


def _shown(value: Value) -> str:
    text = cell_text(value)
    return "nothing" if text is None else _quoted(text)
