"""Small wrong edits of the engine, each of which the suite must catch.

A plant replaces one text of one file, which must stand there exactly once, so that a plant that no
longer fits the engine fails loudly instead of proving nothing. Public: `PLANTS`, `Plant`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Plant:
    """One wrong edit.

    Attributes:
        name: what is forgotten.
        file: where, from the checkout on.
        old: the text that is right.
        new: what stands there instead.
        first: the stage that is likely to catch it: a command's module and arguments.
    """

    name: str
    file: str
    old: str
    new: str
    first: str

    def edited(self, checkout: Path) -> tuple[Path, str]:
        """The file in a checkout, and what it reads with this edit.

        Raises:
            LookupError: if the text is not there exactly once.
        """
        path = checkout / self.file
        text = path.read_text()
        if (found := text.count(self.old)) != 1:
            raise LookupError(f"{self.name}: its text stands {found} times in {self.file}")
        return path, text.replace(self.old, self.new)


_SCENARIO: Final = "tests.killpoints --jobs 1 -x --server documented --only"

_ON_POSTGRESQL: Final = "tests.killpoints --postgresql --jobs 1 -x --server documented --only"

PLANTS: Final = (
    Plant(
        "the cursor advances before its rows are there",
        "hisync/pull.py",
        "    with engine.mirror.writing() as connection:\n        apply_reading(",
        "    with engine.mirror.writing() as connection:\n"
        "        _advance(engine, connection, reading, settled=True)\n"
        "    with engine.mirror.writing() as connection:\n        apply_reading(",
        f"{_SCENARIO} 'an item is edited there'",
    ),
    Plant(
        "the cursor advances past what only another read can tell",
        "hisync/pull.py",
        "_advance(engine, connection, reading, settled=settled)\n    pulled",
        "_advance(engine, connection, reading, settled=True)\n    pulled",
        f"{_SCENARIO} 'an empty list with 200'",
    ),
    Plant(
        "what a doubtful answer does not show did not happen",
        "hisync/pull.py",
        "    if settled:\n",
        "    if True:\n",
        f"{_SCENARIO} 'the next list is empty'",
    ),
    Plant(
        "an unreadable history is taken for one that says nothing",
        "hisync/outcome/doubts.py",
        "LOOKS: Final = 5",
        "LOOKS: Final = 1",
        f"{_SCENARIO} 'the history unreadable'",
    ),
    Plant(
        "the base moves when a change is sent",
        "hisync/pushing/claim.py",
        "    now = engine.clock.now()\n    intents.save_intents(",
        "    sent = [each.base for each in claims if each.base is not None]\n"
        "    bases.save_bases(connection, [replace(base, dirty=None) for base in sent])\n"
        "    now = engine.clock.now()\n    intents.save_intents(",
        f"{_SCENARIO} 'an update: its answer'",
    ),
    Plant(
        "a lost answer is not looked up: the change is sent again",
        "hisync/push.py",
        '            _look_up(engine, claimed, f"the answer was lost: {error}")\n'
        "            pushed.unclear = True",
        '            _wait(engine, claimed, f"the answer was lost: {error}")\n'
        "            pushed.unclear = False",
        f"{_SCENARIO} 'whose answer is lost'",
    ),
    Plant(
        "a new row goes out beside the one that it is under",
        "hisync/plan/order.py",
        "(step.guid in guids or step.parent in guids)",
        "step.guid in guids",
        "pytest tests/plan/test_order.py",
    ),
    Plant(
        "of what goes out side by side only the first is written down before",
        "hisync/pushing/claim.py",
        "    intents.save_intents(connection, [each.intent for each in claims])\n",
        "    intents.save_intents(connection, [each.intent for each in claims][:1])\n",
        "pytest tests/engine/test_lanes.py",
    ),
    Plant(
        "absence is taken for deletion at the first look",
        "hisync/plan/guard.py",
        "CONFIRMED = 2",
        "CONFIRMED = 1",
        f"{_SCENARIO} 'ids are missing once'",
    ),
    Plant(
        "the mark against echoes is forgotten",
        "hisync/mirror/dialects/sqlite/connection.py",
        '    connection.exec_driver_sql("INSERT INTO sync_mark (id, owner) VALUES (1, 0)")\n',
        "",
        f"{_SCENARIO} 'an item is deleted there'",
    ),
    Plant(
        "sets are no longer merged",
        "hisync/plan/merge.py",
        "    if field.type is FieldType.SET:\n        merged",
        "    if False:\n        merged",
        f"{_SCENARIO} 'tags are added on both sides'",
    ),
    Plant(
        "the fencing number is not looked at",
        "hisync/mirror/store.py",
        "return self._fence is None or known.fence == self._fence",
        "return True",
        f"{_SCENARIO} 'takes the mirror over'",
    ),
    Plant(
        "the budget is forgotten at a restart",
        "hisync/budget/purse.py",
        "            requests.book(connection, now, number, lease_ends=now + LEASE_LIFE)\n",
        "            pass\n",
        "pytest tests/engine/test_purse.py",
    ),
    Plant(
        "a mass removal is not held",
        "hisync/plan/guard.py",
        "    return frozenset(suspicious)\n",
        "    return frozenset()\n",
        f"{_SCENARIO} 'a mass removal is held, and shows'",
    ),
    Plant(
        "an answer without any item is believed",
        "hisync/pulling/absence.py",
        "nothing_left=not live)\n    gone",
        "nothing_left=False)\n    gone",
        "pytest tests/engine/test_trouble.py",
    ),
    Plant(
        "the intent is not committed before its request",
        "hisync/pushing/claim.py",
        "    intents.save_intents(connection, [each.intent for each in claims])\n",
        "",
        f"{_SCENARIO} 'one millisecond'",
    ),
    Plant(
        "a pull writes over what people have not sent yet",
        "hisync/pulling/apply.py",
        "    dirty = bool(shown.base and shown.base.dirty)\n",
        "    dirty = False\n",
        f"{_SCENARIO} 'one field, two values'",
    ),
    Plant(
        "an edit of a row that is gone there is dropped",
        "hisync/plan/merge.py",
        "    return (*conflicts, *(_create(local) if keep else (RemoveRow(),)))\n",
        "    return (RemoveRow(),)\n",
        f"{_SCENARIO} 'edited here, deleted there'",
    ),
    Plant(
        "an edit there does not survive a deletion here",
        "hisync/plan/merge.py",
        "            return _revive(row, policy)\n",
        "            return (SendDelete(),)\n",
        f"{_SCENARIO} 'deleted here, edited there'",
    ),
    Plant(
        "each attempt to create an item has a guid of its own",
        "hisync/pushing/sending.py",
        "    return engine.api.send_create(\n        intent.guid,",
        "    return engine.api.send_create(\n"
        "        intent.guid[:-4] + f'{9000 + intent.attempt}',",
        f"{_SCENARIO} 'created offline'",
    ),
    Plant(
        "what a write went over is not asked for when its answer was lost",
        "hisync/pull.py",
        "    overwritten = look_up_overwritten(engine, lost)\n",
        "    overwritten = look_up_overwritten(engine, lost)[:0]\n",
        f"{_SCENARIO} 'same field between our read'",
    ),
    Plant(
        "what a write went over is not asked for at all",
        "hisync/push.py",
        "        return look_for_overwritten(engine, claimed, item)\n",
        "        return Overwritten(claimed)\n",
        f"{_SCENARIO} 'same field between our read'",
    ),
    Plant(
        "the last old value wins in the base, not the first",
        "hisync/mirror/folding.py",
        "            dirty.setdefault(column, (totals[guid] or None) if",
        "            dirty.__setitem__(column, (totals[guid] or None) if",
        f"{_SCENARIO} 'an edit is taken back before'",
    ),
    Plant(
        "a comment whose answer was lost is said again without a look",
        "hisync/comments/pushing.py",
        '            self._lose(intent, f"the answer was lost: {error}")\n',
        '            self._write(outcome.wait, intent, "")\n',
        f'{_SCENARIO} "a comment\'s answer"',
    ),
    Plant(
        "of two totals one is taken, instead of what both sides added",
        "hisync/plan/merge.py",
        "        total = (theirs or 0) + (ours or 0) - (before or 0)",
        "        total = ours or 0",
        f"{_SCENARIO} 'time is logged here and there'",
    ),
    Plant(
        "children go out before their parents",
        "hisync/plan/order.py",
        "-depth if deletion else depth,",
        "depth if deletion else -depth,",
        "pytest tests/plan/test_order.py",
    ),
    Plant(
        "another account's login is accepted",
        "hisync/api/auth.py",
        "        if None in (account, self.expected_account) or",
        "        if True or",
        "pytest tests/api/test_auth.py",
    ),
    Plant(
        "rows that leave are not kept",
        "hisync/writes.py",
        "        records.record_removed(connection, self.removed, now)\n",
        "",
        f"{_SCENARIO} 'an item is deleted there'",
    ),
    Plant(
        "the losing value of a conflict is not kept",
        "hisync/writes.py",
        "        records.record_conflicts(connection, self.conflicts, now)\n",
        "",
        f"{_SCENARIO} 'one field, two values'",
    ),
    Plant(
        "a write that a pull shows not to have happened is not sent again",
        "hisync/pull.py",
        '        if named or base is None or intent.op in {"create", "update"}:\n',
        "        if base is None:\n",
        f"{_SCENARIO} 'a deletion: its answer'",
    ),
    Plant(
        "a REPLACE is not seen to delete",
        "hisync/mirror/dialects/sqlite/capture.py",
        '            "WHERE o.guid = NEW.guid OR o.rowid = NEW.rowid"\n',
        '            "WHERE 0"\n',
        f"{_SCENARIO} 'INSERT OR REPLACE'",
    ),
    Plant(
        "Retry-After is not heeded",
        "hisync/cycle.py",
        "    if 0 < left <= LONGEST + 60:",
        "    if left < 0:",
        "pytest tests/engine/test_trouble.py",
    ),
    Plant(
        "a deletion that hiTask calls unknown is taken for done",
        "hisync/pushing/sending.py",
        "        engine.api.send_delete(base.id, guid, "
        "by_guid=intent.attempt % _OTHER_FORM == 0)\n",
        "        try:\n"
        "            engine.api.send_delete(base.id, guid)\n"
        "        except Exception:\n"
        "            return None\n",
        "pytest tests/engine/test_trouble.py tests/edges/test_servers.py",
    ),
    Plant(
        "a refused cell does not go back to what hiTask has",
        "hisync/pushing/claim.py",
        "        put_back(connection, candidate, base, before, settled, unsent)\n",
        "        pass\n",
        f"{_SCENARIO} 'read'",
    ),
    Plant(
        "the base keeps what was dirty after the answer",
        "hisync/pulling/shown.py",
        "            dirty=cells,\n",
        "            dirty=cells or self.dirty or None,\n",
        f"{_SCENARIO} 'an edit'",
    ),
    Plant(
        "a row made anew after its time was lost has no change to make it by",
        "hisync/leaving.py",
        "    _log_unlogged(engine, connection, again)\n    report",
        "    report",
        "pytest tests/engine/test_ledger.py",
    ),
    Plant(
        "a row that is not there counts as deleted by people",
        "hisync/plan/proof.py",
        'return log[-1].op == "delete" if log else',
        "return True or",
        f"{_SCENARIO} 'row out unseen'",
    ),
    Plant(
        "an empty page is taken for an empty list",
        "hisync/api/answers.py",
        "def _list(payload: Any) -> Iterable[Any]:\n",
        "def _list(payload: Any) -> Iterable[Any]:\n"
        "    if not isinstance(payload, list):\n"
        "        return []\n",
        "pytest tests/api/test_client.py tests/engine/test_trouble.py",
    ),
    Plant(
        "on PostgreSQL the writer's lock is not taken back after its session ended",
        "hisync/mirror/dialects/postgres/lock.py",
        "            self._drop()\n        return self._take() or",
        "            self._drop()\n            return False\n        return self._take() or",
        f"{_ON_POSTGRESQL} 'an edit is taken back before'",
    ),
    Plant(
        "on PostgreSQL the engine's own writes are captured",
        "hisync/mirror/dialects/postgres/connection.py",
        "current_schema() || ' ' || pg_current_xact_id()::text, true)",
        "current_schema() || '.' || pg_current_xact_id()::text, true)",
        f"{_ON_POSTGRESQL} 'an item is edited there' --plain",
    ),
)
