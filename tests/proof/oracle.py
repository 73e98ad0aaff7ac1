"""What must hold once everything has healed, said without a line of hisync's own planning.

Public: `Ended`, `check_end`, `unequal`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from tests.edges.oracle import TABLES, differences, loose_ends
from tests.proof.actors import Colleagues, People
from tests.proof.marks import Marks, marks_in
from tests.proof.sim import Sim

_KEPT = (
    "SELECT base_value AS a, local_value AS b, remote_value AS c FROM conflicts",
    "SELECT last_values AS a, NULL AS b, NULL AS c FROM removed_rows",
    "SELECT new_values AS a, NULL AS b, NULL AS c FROM change_log WHERE state = 'rejected'",
)
_OPEN = (
    "SELECT seq, table_name, row_guid, op, state, error FROM change_log "
    "WHERE state NOT IN ('done', 'merged', 'rejected', 'discarded')"
)
_TAKEN_BACK = (
    "SELECT row_guid, old_values FROM change_log "
    "WHERE table_name = 'time_entries' AND op = 'delete' AND finished_at IS NULL"
)
_ONLY_MOVED = re.compile(r"""'dirty': '{"parent_guid":(null|"[^"]*")}'""")


@dataclass
class Ended:
    """A run that has come to rest.

    Attributes:
        sim: the world.
        people: who acted here.
        colleagues: who acted there.
        marks: what they wrote.
        late: whether a write was applied after it was looked up: then a second item or comment
            can't be prevented, only shown.
    """

    sim: Sim
    people: People
    colleagues: Colleagues
    marks: Marks
    late: bool

    def ask(self, query: str) -> list[dict[str, Any]]:
        return self.sim.sql(query)


def check_end(run: Ended) -> None:
    """Hold the end of a run against everything that must be true.

    Raises:
        AssertionError: naming each thing that is not.
    """
    faults = [
        *(f"lost: {mark}, {run.marks.written[mark]}" for mark in run.marks.lost(_found(run))),
        *(f"differs: {line}" for line in unequal(run)),
        *(f"unfinished: {line}" for line in _loose_ends(run)),
        *_waiting(run),
        *_doubled(run),
        *_comments_differ(run),
        *_unexplained_rows(run),
        *_ledger_faults(run),
    ]
    assert not faults, "\n".join(faults)


def unequal(run: Ended, *, computed: bool = True) -> Iterator[str]:
    """What is not equal on both sides, but for the parents of rows that wait for a new one.

    Args:
        run: that has come to rest.
        computed: whether to look also at what only a full read is sure to have seen.
    """
    waiting = {f"{table}.parent_guid of {number}:" for table, number in _moved(run).values()}
    for line in differences(run.sim.service.model, run.ask, computed=computed):
        if not line.startswith(tuple(waiting)):
            yield line


def _loose_ends(run: Ended) -> Iterator[str]:
    """What is not finished, but for the moves of those rows."""
    moved = _moved(run)
    for line in loose_ends(run.ask, mark=run.sim.backend == "sqlite"):
        if not (_ONLY_MOVED.search(line) and any(guid in line for guid in moved)):
            yield line


def _moved(run: Ended) -> dict[str, tuple[str, int]]:
    """Rows that somebody put below a new row that was refused: table and number, by guid."""
    stuck = _below_refused(run)
    return {
        row["guid"]: (table, row["id"])
        for table in TABLES
        for row in run.ask(f"SELECT guid, id, parent_guid FROM {table} WHERE id IS NOT NULL")
        if row["parent_guid"] in stuck
    }


def _found(run: Ended) -> set[str]:
    """The marks that are on both sides, or kept as the losers of something."""
    model = run.sim.service.model
    account = model.users[0]
    live = model.items(account)
    there = marks_in([model.wire(item, account) for item in live])
    there |= marks_in([unit.value for item in live for unit in model.comments(item.id)])
    here = marks_in([run.ask(f"SELECT * FROM {name}") for name in (*TABLES, "comments")])
    kept = marks_in([run.ask(query) for query in _KEPT])
    archived = model.store.archived.values()
    kept |= marks_in([item.values for item in archived])
    kept |= marks_in([unit.value for item in archived for unit in model.comments(item.id)])
    # What the account may not see is there, but not for us.
    hidden = [item for item in model.items() if item not in live]
    kept |= marks_in([item.values for item in hidden])
    kept |= marks_in([unit.value for item in hidden for unit in model.comments(item.id)])
    if not run.sim.rules.comments:  # then they are hiTask's alone
        kept |= marks_in([unit.value for item in live for unit in model.comments(item.id)])
    if run.late:  # what a late write went over is in the log or hiTask's: no more can be done
        kept |= marks_in(run.ask("SELECT new_values FROM change_log"))
        kept |= marks_in([model.history.units(item, "") for item in model.items()])
    refused = "SELECT message FROM comments WHERE id IS NULL"
    refused_rows = [run.ask(f"SELECT * FROM {name} WHERE id IS NULL") for name in TABLES]
    kept |= marks_in([run.ask(refused), refused_rows])  # new, refused, and still to be seen
    return (there & here) | kept


def _waiting(run: Ended) -> Iterator[str]:
    """Nothing waits, but for what is below a new row that was refused and that nobody mended."""
    stuck = _below_refused(run) | _moved(run).keys()
    for row in run.ask(_OPEN):
        if row["state"] != "blocked" or row["row_guid"] not in stuck:
            yield f"waits: {row}"


def _below_refused(run: Ended) -> set[str]:
    """The rows, comments and time entries below new rows that were refused."""
    queries = [f"SELECT guid, parent_guid AS above, id FROM {name}" for name in TABLES]
    queries.append("SELECT guid, item_guid AS above, id FROM comments")
    queries.append("SELECT guid, item_guid AS above, NULL AS id FROM time_entries")
    new = {row["guid"]: row["above"] for q in queries for row in run.ask(q) if row["id"] is None}
    for row in run.ask(_TAKEN_BACK):  # time that is there no more waits for the same item
        old = row["old_values"]
        cells = orjson.loads(old) if isinstance(old, str) else old
        new.setdefault(row["row_guid"], cells.get("item_guid"))
    stuck, before = _rejected(run) & new.keys(), set[str]()
    while stuck != before:
        before = stuck
        stuck = stuck | {guid for guid, above in new.items() if above in stuck}
    return stuck


def _rejected(run: Ended) -> set[str]:
    rows = run.ask("SELECT row_guid FROM change_log WHERE state = 'rejected'")
    return {row["row_guid"] for row in rows}


def _doubled(run: Ended) -> Iterator[str]:
    model = run.sim.service.model
    if run.late:
        return
    # An item that was hidden and is still edited here is made anew, as policy may say.
    guids = Counter(item.guid for item in model.items(model.users[0]))
    yield from (
        f"doubled: {number} items of {guid}" for guid, number in guids.items() if number > 1
    )
    texts = Counter(str(unit.value) for item in model.items() for unit in model.comments(item.id))
    yield from (
        f"doubled: comment {text!r}"
        for text, number in texts.items()
        if number > 1 and marks_in(text)
    )
    removed = Counter(
        tuple(row.values()) for row in run.ask("SELECT row_guid, id, last_values FROM removed_rows")
    )
    again = run.people.put_again + run.colleagues.shown
    for (guid, number, values), times in removed.items():
        above = orjson.loads(values).get("item_guid")  # what comes back brings its comments along
        if times > 1 + again[guid] + again[above]:
            yield f"doubled: removed row {guid}, {number}: {values}"


def _comments_differ(run: Ended) -> Iterator[str]:
    if not run.sim.rules.comments:
        return
    model = run.sim.service.model
    items = {item.id: item for item in model.items(model.users[0])}
    guids = {
        row["guid"]: row["id"]
        for name in TABLES
        for row in run.ask(f"SELECT guid, id FROM {name} WHERE id IS NOT NULL")
    }
    rows = run.ask("SELECT id, item_guid, message FROM comments WHERE id IS NOT NULL")
    here = {(row["id"], guids.get(row["item_guid"]), row["message"]) for row in rows}
    there = {
        (unit.id, item.id, unit.value)
        for item in items.values()
        for unit in model.comments(item.id)
    }
    yield from (f"comment here only: {each}" for each in sorted(here - there, key=str))
    yield from (f"comment there only: {each}" for each in sorted(there - here, key=str))


def _unexplained_rows(run: Ended) -> Iterator[str]:
    """A row without an item has a rejected change that says why."""
    rejected = _rejected(run) | _below_refused(run)
    for table in (*TABLES, "comments"):
        for row in run.ask(f"SELECT guid FROM {table} WHERE id IS NULL"):
            if row["guid"] not in rejected:
                yield f"stays here without a reason: {table} {row['guid']}"


def _ledger_faults(run: Ended) -> Iterator[str]:
    entries = run.ask("SELECT guid, item_guid, minutes FROM time_entries")
    sums: Counter[str] = Counter()
    for row in entries:
        sums[row["item_guid"]] += row["minutes"] or 0
    model = run.sim.service.model
    rejected = _rejected(run)
    for table in TABLES:
        for row in run.ask(f"SELECT guid, id, time_spent_minutes AS m FROM {table}"):
            item = model.store.live.get(row["id"])
            # A new row that was refused stays as its writer left it, total included.
            refused = item is None and row["guid"] in rejected
            if (row["m"] or 0) != sums[row["guid"]] and not refused:
                yield f"ledger: {row['guid']} says {row['m']}, its entries {sums[row['guid']]}"
            if item is not None and (item.get("time_spent") or 0) != (row["m"] or 0):
                yield f"ledger: {row['guid']} has {row['m']}, hiTask {item.get('time_spent')}"
    known = {row["guid"]: row["minutes"] for row in entries}
    for guid, (item_guid, minutes) in run.people.entries.items():
        if guid not in rejected and known.get(guid) != minutes:
            yield f"ledger: entry {guid} of {minutes} on {item_guid} is {known.get(guid)}"
