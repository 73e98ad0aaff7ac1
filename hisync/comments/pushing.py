"""Comments on their way to hiTask: posted and deleted one by one, and nothing said twice.

    change_log ─ claim ─▶ intent committed ─▶ send ─▶ answer ─▶ row + change_log, one transaction

A post has no number of our own, so a lost answer is looked up in the item's history: at once, and
again in the next cycle before the comment is said again. Public: `push_comments`, `push_early`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec

from sqlalchemy import Connection

from hisync.api.history import Posted as Answered
from hisync.comment import Place
from hisync.comments import outcome
from hisync.comments.candidates import own_account
from hisync.comments.claim import Claim, CommentStep, claim, prepare
from hisync.comments.expecting import confirm_posts, finish_post
from hisync.comments.lookup import conclude, doubt
from hisync.engine import Engine
from hisync.errors import (
    GoneError,
    LookAgainError,
    RefusedError,
    RetryLaterError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
)
from hisync.mirror import comments
from hisync.mirror.histories import Due
from hisync.mirror.intents import Intent
from hisync.push import PATIENCE, ROUNDS, TRIES, Pushed

_P = ParamSpec("_P")


def push_comments(engine: Engine) -> Pushed:
    """Post and delete comments until nothing is left to send or something is in the way.

    Raises:
        StopError: if the login, key or account is refused; what was being sent waits again.
    """
    batch = _Batch(engine)
    if not _has_work(engine):
        return batch.pushed
    batch.resume()
    batch.send(lambda steps: steps)
    batch.tried.clear()
    batch.resume()  # what was lost just now, and what was deleted while it was being posted
    return batch.pushed


def push_early(engine: Engine) -> Pushed:
    """Post the comments on items that the push right after this archives; call it after a pull."""
    confirm_posts(engine)
    batch = _Batch(engine)
    if _has_work(engine):
        batch.send(lambda steps: [s for s in steps if s.op == "create" and s.place.archiving])
        batch.resume(only=batch.lost)
    return batch.pushed


@dataclass(slots=True)
class _Batch:
    """One run over all comments with something to send.

    Attributes:
        engine: everything it needs.
        pushed: what it did so far.
        tried: comments that are not to be tried again in this run.
        lost: posts with a lost answer.
    """

    engine: Engine
    pushed: Pushed = field(default_factory=Pushed)
    tried: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    @property
    def over(self) -> bool:
        return self.engine.stopping() or self.pushed.trouble is not None

    def resume(self, only: Iterable[str] | None = None) -> None:
        """Find out what became of what is written down: look posts up, repeat deletions."""
        with self.engine.mirror.reading() as connection:
            pending = comments.load_intents(connection)
            items = {intent.sent["item_guid"] for intent in pending.values()}
            places = comments.load_places(connection, items)
        for intent in pending.values():
            place = places.get(intent.sent["item_guid"])
            if self.over or place is None or place.id is None:
                continue
            if only is not None and intent.guid not in only:
                continue
            if intent.op == "delete":
                self._delete_again(intent, place.id)
            elif intent.guid not in self.engine.comments.looked:
                self._look(intent, place, place.id)

    def send(self, choose: Callable[[list[CommentStep]], list[CommentStep]]) -> None:
        """Send what can be sent, again while that lets more go."""
        for _ in range(ROUNDS):
            before = self.pushed.sent + self.pushed.refused
            for step in choose(self._write(prepare)):
                if self.over:
                    return
                claimed = None if step.guid in self.tried else self._write(claim, step)
                if claimed is not None:
                    self.tried.add(step.guid)
                    self._carry_out(claimed)
            if self.pushed.sent + self.pushed.refused == before:
                return

    def _carry_out(self, claimed: Claim) -> None:
        intent = claimed.intent
        try:
            answered = self._request(claimed)
        except StopError:
            self._write(outcome.wait, intent, "hiTask refuses the login")
            raise
        except (SlowDownError, UnreachableError) as error:
            self._write(outcome.wait, intent, str(error))  # it is known that nothing happened
            self.pushed.trouble = error
        except RetryLaterError as error:
            self._lose(intent, f"the answer was lost: {error}")
            self._fail(error)
        except LookAgainError as error:
            self._look_again(intent, error)
        except (RefusedError, ValueError) as error:
            # A ValueError is the encoder's: a text that the wire has no form for.
            self._write(outcome.refuse, intent, str(error))
            self.pushed.refused += 1
            self.pushed.failures = 0
        else:
            self._finish(intent, answered)

    def _request(self, claimed: Claim) -> Answered | None:
        intent, api = claimed.intent, self.engine.api
        if intent.op == "delete":
            api.send_comment_delete(intent.sent["id"], claimed.item_id)
            return None
        with self.engine.mirror.reading() as connection:
            account = own_account(self.engine, connection)
        return api.send_comment(claimed.item_id, intent.sent["message"], account)

    def _finish(self, intent: Intent, answered: Answered | None) -> None:
        self.pushed.failures = 0
        if answered is None:
            self._write(outcome.finish_delete, intent)
        elif answered.id is None:
            self._lose(intent, "hiTask answered OK without the comment's number")
            return
        else:
            self._write(finish_post, intent, answered.id, answered.at)
        self.pushed.sent += 1

    def _look_again(self, intent: Intent, error: LookAgainError) -> None:
        """What we knew was old, and nothing happened; a limited number of times."""
        if isinstance(error, GoneError) and intent.op == "delete":
            self._write(outcome.finish_delete, intent, by_absence=True)
            self.pushed.sent += 1
        elif intent.attempt >= TRIES:
            reason = f"given up after {TRIES} attempts: {error}"
            self._write(outcome.refuse, intent, reason)
            self.pushed.refused += 1
        else:
            self._write(outcome.wait, intent, str(error))

    def _delete_again(self, intent: Intent, item_id: int) -> None:
        if intent.guid not in self.tried and self._write(outcome.resume_delete, intent):
            self.tried.add(intent.guid)
            self._carry_out(Claim(intent, item_id))

    def _look(self, intent: Intent, place: Place, item_id: int) -> None:
        """See in the item's history whether a post arrived."""
        self.engine.comments.looked.add(intent.guid)
        try:
            units = self.engine.api.fetch_history(item_id)
        except StopError:
            raise
        except (SlowDownError, UnreachableError) as error:
            self.pushed.trouble = error
        except RetryLaterError as error:
            self._fail(error)
        except ServiceError as error:
            self._write(doubt, intent, f"its history can't be read: {error}")
        else:
            self.pushed.failures = 0
            due = Due(place.guid, item_id, place.last_comment_id)
            self.pushed.sent += self._write(conclude, intent, due, units)

    def _lose(self, intent: Intent, reason: str) -> None:
        self._write(outcome.look_up, intent, reason)
        if intent.op == "create":
            self.lost.add(intent.guid)
        self.pushed.unclear = True

    def _fail(self, error: ServiceError) -> None:
        self.pushed.failures += 1
        if self.pushed.failures >= PATIENCE:
            self.pushed.trouble = error

    def _write(
        self,
        act: Callable[Concatenate[Engine, Connection, _P], Any],
        *args: _P.args,
        **options: _P.kwargs,
    ) -> Any:
        """Do something in a write transaction of its own."""
        with self.engine.mirror.writing() as connection:
            return act(self.engine, connection, *args, **options)


def _has_work(engine: Engine) -> bool:
    with engine.mirror.reading() as connection:
        return comments.has_work(connection)
