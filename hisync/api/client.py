"""hiTask as one object: a method for each request that hisync makes.

`fetch_…` reads, `send_…` writes; each returns canonical values or raises an error of
`hisync.errors`, and none of them repeats a write by itself unless hiTask said that it was not
carried out. Public: `HiTask`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx
import structlog

from hisync.api.answers import (
    ItemsAnswer,
    ShownTwiceError,
    decode_created,
    decode_items,
    decode_object,
    decode_written,
)
from hisync.api.auth import Credentials, PasswordEncoding
from hisync.api.connection import Connection, Grant, Settle
from hisync.api.decode import TimeUnit
from hisync.api.encode import emptied, encode_changes, encode_new
from hisync.api.history import Posted, decode_history, decode_posted
from hisync.api.outcomes import ENDPOINT_DEPRECATED, PARAMETER_MISSING, Answer
from hisync.api.people import decode_groups, decode_people, decode_person, decode_tags
from hisync.comment import Unit
from hisync.errors import GoneError, HisyncError, RefusedError, ServiceError
from hisync.items import Item, Values

_T = TypeVar("_T")

_ASKS_FOR_MORE: Final = frozenset({PARAMETER_MISSING, 104})
_OWN: Final = "/item/{}"
_COLLECTION: Final = "/item"
_UNREADABLE: Final = frozenset({5, 6})  # an invalid format, invalid data


def _no_such_path(error: ServiceError) -> bool:
    return error.status in {405, 501} or error.code == ENDPOINT_DEPRECATED


def _grant_freely(_cause: str) -> None: ...


def _count_nothing(_cause: str, _error: ServiceError | None) -> None: ...


class HiTask:
    """One account on hiTask; it logs in when the first request is made."""

    def __init__(
        self,
        *,
        base_url: str,
        login: str,
        password: str,
        api_key: str,
        password_encoding: PasswordEncoding = "plain",  # noqa: S107
        time_unit: TimeUnit = "minutes",
        grant: Grant = _grant_freely,
        settle: Settle = _count_nothing,
        transport: httpx.BaseTransport | None = None,
        timeouts: httpx.Timeout | None = None,
        now: Callable[[], float] = time.time,
        folder: Path | None = None,
        holds_nul: bool = True,
    ) -> None:
        """Nothing is sent yet.

        Args:
            base_url: where the API is, like `https://hitask.com/api`.
            login: who logs in.
            password: with what.
            api_key: the key that every request carries.
            password_encoding: how the password is sent.
            time_unit: the unit of times on the wire.
            grant: called with the cause before each request, logins and repeats included; it
                may wait, or raise to prevent the request.
            settle: called with the cause after each request that was sent, and with the error that
                it ended with, None if it went well; it must not raise.
            transport: how requests travel; None for real HTTP.
            timeouts: None for 10 s to connect, 60 s to read, 30 s to write.
            now: the time in seconds since the epoch.
            folder: where answers are kept for a moment that are too long for memory; None for the
                system's own place.
            holds_nul: whether texts may have the character NUL; else each answer has U+FFFD for it.

        Raises:
            ConfigurationError: the base URL can't be one, or the environment's proxy can't be used.
        """
        credentials = Credentials(login, password, api_key, password_encoding)
        self._connection = Connection(
            base_url,
            credentials,
            grant=grant,
            settle=settle,
            transport=transport,
            timeouts=timeouts,
            now=now,
            holds_nul=holds_nul,
        )
        self._connection.folder = folder
        self._time_unit: TimeUnit = time_unit
        self._wants_title = False
        self._knows_null = True
        self._put_path: str | None = None  # the form of its path that this server was seen to know
        self._reported: set[str] = set()
        self._log: Any = structlog.get_logger("hisync.api")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def abort(self) -> None:
        """End the requests that are under way, from another thread, and send none any more.

        Their answers are lost, as if the connection had broken.
        """
        self._connection.abort()

    def side_by_side(self, jobs: Sequence[Callable[[], _T]]) -> list[_T]:
        """Run jobs that make requests of this client, so that their requests overlap.

        All else of theirs is done by one thread at a time.

        Returns:
            What each returned, in their order.
        """
        return self._connection.turns.run(jobs)

    @property
    def account_id(self) -> int | None:
        """The account that logged in, None before."""
        return self._connection.auth.account_id

    @property
    def expected_account(self) -> int | None:
        """The only account that may be worked with, None for any."""
        return self._connection.auth.expected_account

    @expected_account.setter
    def expected_account(self, account: int | None) -> None:
        self._connection.auth.expected_account = account

    @property
    def sends_title(self) -> bool:
        """Whether this server was seen to want the title with every change."""
        return self._wants_title

    @property
    def time_unit(self) -> TimeUnit:
        """The unit of times on the wire."""
        return self._time_unit

    @property
    def clock_skew(self) -> float | None:
        """The seconds that the local clock is ahead of hiTask's, None before an answer."""
        return self._connection.clock_skew

    @property
    def requests(self) -> int:
        """How many requests were sent, logins and repeats included."""
        return self._connection.requests

    def redact(self, text: str) -> str:
        """The text without the password, the API key and the session."""
        return self._connection.secrets.redact(text)

    def take_null_for_text(self) -> None:
        """A read shows that this server takes the text `null` for what it says."""
        self._knows_null = False

    def reset(self) -> None:
        """Forget the session and a rejected login: the next request tries to log in again."""
        self._connection.auth.reset()

    def fetch_items(self) -> ItemsAnswer:
        """Every item that the account sees."""
        return self._connection.call("GET", "/item", "full", self._decode_items, long=True)

    def use_items(self, use: Callable[[ItemsAnswer], _T]) -> _T:
        """Every item that the account sees, used while the answer is still being checked.

        Args:
            use: does all that it does or nothing, as it does where the answer turns out to be
                faulty. It is called again if the items can't be had one by one.
        """

        def decode(answer: Answer) -> _T:
            with suppress(ShownTwiceError):
                return use(self._decode_items(answer, checked=False))
            return use(self._decode_items(answer))

        return self._connection.call("GET", "/item", "full", decode, long=True)

    def fetch_delta(self, cursor: str) -> ItemsAnswer:
        """What changed since the answer that the cursor came with."""
        path = f"/item/delta/{quote(cursor, safe='')}"
        return self._connection.call("GET", path, "delta", self._decode_items, long=True)

    def fetch_account(self) -> dict[str, Any]:
        """The account, as the wire has it.

        Raises:
            WrongAccountError: it is not the expected one.
        """
        account = self._connection.call("GET", "/user", "account", decode_object)
        self._connection.auth.take_account(account.get("id"))
        return account

    def fetch_preferences(self) -> dict[str, Any]:
        """The account's preferences, as the wire has them."""
        return self._connection.call("GET", "/user/preferences", "preferences", decode_object)

    def fetch_self(self) -> Values:
        """The account as one of the people, by the columns of `users`.

        Raises:
            WrongAccountError: it is not the expected one.
        """
        return decode_person(self.fetch_account())

    def fetch_contacts(self) -> list[Values]:
        """The people whom the account knows and itself, by the columns of `users`."""
        params = {"includeSelf": "1"}
        return self._connection.call("GET", "/contact", "people", decode_people, params=params)

    def fetch_team(self) -> list[Values]:
        """The members of the account's team, by the columns of `users`."""
        return self._connection.call("GET", "/team", "people", decode_people)

    def fetch_groups(self) -> list[Values]:
        """The groups of people, by the columns of `groups`."""
        return self._connection.call("GET", "/group", "people", decode_groups)

    def fetch_tags(self) -> list[Values]:
        """The tags, by the columns of `tags`."""
        return self._connection.call("GET", "/tag", "people", decode_tags)

    def fetch_history(self, item_id: int) -> list[Unit]:
        """The history of an item, in no order; free accounts are shown its last ten units."""
        params = {"id": str(item_id)}
        return self._connection.call(
            "GET", "/item/history", "history", decode_history, params=params
        )

    def send_create(
        self,
        guid: str,
        category: int,
        values: Values,
        *,
        parent_id: int | None = None,
        zone: tzinfo,
    ) -> Item | int | None:
        """Create an item; what `values` leaves empty or people can't write is not sent.

        Returns:
            The item as hiTask has it, which may have kept another guid; its number alone where
            hiTask says no more; None if it says nothing.

        Raises:
            ValueError: no title, or a value that is not canonical.
        """
        form = encode_new(
            guid, category, values, zone=zone, parent_id=parent_id, time_unit=self._time_unit
        )
        return self._connection.call("POST", "/item", "create", self._decode_created, form=form)

    def send_update(
        self,
        id: int,  # noqa: A002 - hiTask's own word
        guid: str,
        changes: Values,
        *,
        is_all_day: bool,
        parent_id: int | None = None,
        zone: tzinfo,
        title: str | None,
    ) -> Item | None:
        """Change an item, sending only what changed.

        Args:
            id: the item.
            guid: its guid, sent only to a server that asks for it.
            changes: the new values of the changed columns.
            is_all_day: whether the item is all-day once they are made.
            parent_id: the new parent's number, where it is known.
            zone: the account's time zone.
            title: as freshly read, sent only to a server that asks for it.

        Returns:
            The item as hiTask has it; None if it doesn't say.

        Raises:
            ValueError: a column that can't be sent, or a value that is not canonical.
        """
        encoded = encode_changes(
            changes,
            is_all_day=is_all_day,
            zone=zone,
            parent_id=parent_id,
            time_unit=self._time_unit,
        )
        nulls = emptied(changes, encoded)
        blank = encoded | dict.fromkeys(nulls, "")
        encoded = encoded if self._knows_null else blank
        try:
            item = self._update(id, guid, title, encoded)
        except RefusedError as error:
            # That the text `null` empties a field is assumed: a server may want an empty one.
            if error.code not in _UNREADABLE or encoded == blank:
                raise
            item = self._update(id, guid, title, blank)
            self._knows_null = False
        if item is not None and any(item.values.get(c) == "null" for c in nulls.values()):
            self._knows_null = False  # it took the text for what it says: whoever sends it again
        return item

    def _update(
        self,
        id: int,  # noqa: A002
        guid: str,
        title: str | None,
        encoded: dict[str, str],
    ) -> Item | None:
        # An unchanged title sent along would undo a rename that happened since it was read.
        brief = {"id": str(id), **encoded}
        whole = {"guid": guid} | ({} if title is None else {"title": title}) | brief
        if self._put_path == _COLLECTION:
            return self._put(id, whole, _COLLECTION)
        if self._wants_title:
            return self._put(id, whole)
        try:
            answer = self._put(id, brief)
        except (GoneError, RefusedError) as error:
            if self._put_path is None and (isinstance(error, GoneError) or _no_such_path(error)):
                return self._put_elsewhere(id, whole, error)
            if error.code not in _ASKS_FOR_MORE:
                raise
        else:
            self._put_path = _OWN
            return answer
        answer = self._put(id, whole)
        self._wants_title = True  # only now: it might have been something else that lacked
        return answer

    def send_delete(
        self,
        id: int,  # noqa: A002
        guid: str,
        *,
        by_guid: bool = False,
    ) -> None:
        """Delete an item, without its children."""
        name = quote(guid, safe="") if by_guid else str(id)
        self._connection.call("DELETE", f"/item/{name}", "delete", self._decode_written)

    def send_archive(self, id: int, guid: str) -> None:  # noqa: A002, ARG002 - the id says it
        """Archive an item."""
        form = {"id": str(id)}
        self._connection.call("POST", "/item/archive", "archive", self._decode_written, form=form)

    def send_restore(self, id: int | None, guid: str) -> Item | None:  # noqa: A002
        """Bring an archived item back: a write, though it is a GET there.

        Args:
            id: the item, None if only its guid is known.
            guid: its guid, sent to a server that asks for it or does not know the id.

        Returns:
            The item as hiTask has it; None if it doesn't say.

        Raises:
            GoneError: the archive has no such item.
        """
        if id is not None:
            try:
                return self._restore({"id": str(id)}, id)
            except (GoneError, RefusedError) as error:
                if isinstance(error, RefusedError) and error.code not in _ASKS_FOR_MORE:
                    raise
        return self._restore({"guid": guid}, id)

    def send_comment(self, item_id: int, message: str, user_id: int | None) -> Posted:
        """Comment on an item.

        Args:
            item_id: the item.
            message: what to say.
            user_id: the own account, None where it is not known.
        """
        form = {"id": str(item_id), "message": message}
        if user_id is not None:
            form["userId"] = str(user_id)
        return self._connection.call("POST", "/item/comment", "comment", decode_posted, form=form)

    def send_comment_delete(self, comment_id: int, item_id: int) -> None:
        """Delete a comment."""
        form = {"id": str(comment_id), "itemId": str(item_id)}
        # Where a server looks for the fields of a DELETE is not documented: in either place.
        path, decode = "/item/comment", self._decode_written
        self._connection.call("DELETE", path, "comment", decode, params=form, form=form)

    def logout(self) -> None:
        """End the session, if there is one; that it fails does no harm."""
        if not self._connection.auth.has_session:
            return
        try:
            self._connection.call("GET", "/user/logout", "login", bool, renew=False)
        except HisyncError:
            self._log.debug("logout_failed")
        finally:
            self._connection.auth.forget_session()

    def _put_elsewhere(
        self, number: int, whole: dict[str, str], error: ServiceError
    ) -> Item | None:
        """The documented form of a change, where the one that the web client uses is not known.

        Raises:
            ServiceError: the first error, if this form is not known either.
        """
        try:
            answer = self._put(number, whole, _COLLECTION)
        except (GoneError, RefusedError):
            raise error from None
        self._put_path, self._wants_title = _COLLECTION, True
        return answer

    def _put(self, number: int, form: dict[str, str], path: str = _OWN) -> Item | None:
        def decode(answer: Answer) -> Item | None:
            return self._decode_written(answer, number)

        return self._connection.call("PUT", path.format(number), "update", decode, form=form)

    def _restore(self, params: dict[str, str], expected_id: int | None) -> Item | None:
        def decode(answer: Answer) -> Item | None:
            return self._decode_written(answer, expected_id)

        return self._connection.call("GET", "/archive/restore", "restore", decode, params=params)

    def _decode_items(self, answer: Answer, *, checked: bool = True) -> ItemsAnswer:
        return decode_items(answer, self._time_unit, self._report, checked=checked)

    def _decode_written(self, answer: Answer, expected_id: int | None = None) -> Item | None:
        return decode_written(answer, expected_id, self._time_unit, self._report)

    def _decode_created(self, answer: Answer) -> Item | int | None:
        return decode_created(answer, self._time_unit, self._report)

    def _report(self, event: str) -> None:
        """Say once what looked odd about the wire."""
        if event not in self._reported:
            self._reported.add(event)
            facts = {"time_unit": self._time_unit} if event == "time_unit_doubtful" else {}
            self._log.warning(event, **facts)
