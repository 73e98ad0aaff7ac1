"""Whether a mirror may be worked on: not one that has moved, nor one whose copy is unfinished.

Two mirrors of one account that both send would send every unsent edit twice. Public: `usable`,
`refusal`, `moved_message`.
"""

from __future__ import annotations

from typing import Any

from hisync.errors import MovedError
from hisync.mirror.state import EngineState


def usable(memory: EngineState) -> None:
    """Make sure that a mirror is the one to work on.

    Raises:
        MovedError: if it was moved, or is a copy that was not finished.
    """
    if memory.moved_to is not None:
        raise MovedError(
            moved_message(memory.moved_to) + ": name that one in database.url; nothing is read or "
            "sent from here, or unsent edits would be sent twice"
        )
    if memory.moving_from is not None:
        raise MovedError(
            f"the copy of the mirror from {memory.moving_from['name']} into this database was not "
            "finished: give the same `db copy` again, on the configuration of the other database"
        )


def refusal(memory: EngineState) -> str | None:
    """What people are told who edit a mirror that is not to be worked on; None if it is."""
    if memory.moved_to is not None:
        return f"{moved_message(memory.moved_to)}; edit there"
    if memory.moving_from is not None:
        return "this copy of a mirror is not finished; edit the mirror itself"
    return None


def moved_message(moved_to: dict[str, Any]) -> str:
    """Where a mirror went, and when."""
    return f"this mirror was moved to {moved_to['name']} at {moved_to['at']} UTC"
