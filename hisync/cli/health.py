"""What `hisync status` knows: the mirror's state, and what it means. Public: `load_status`."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from hisync.config import Config
from hisync.mirror import changes, records, requests, rows, state
from hisync.mirror.store import Mirror


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a mirror.

    Attributes:
        database: where the mirror is.
        pid: the process that holds it, None when none does.
        cursor: how far the mirror is.
        delta: what the server's delta was seen to be.
        last_cycle: what the last cycle did, None before the first.
        trouble: why no cycle has finished since, None if one has.
        rows: rows by item table.
        changes: changes that wait or were rejected, by state.
        conflicts_open: conflicts that nobody has settled.
        conflicts: conflicts recorded in all.
        requests_last_minute: requests booked lately.
        requests_per_minute: the budget.
        poll_interval: seconds between two polls of the daemon.
        now: when this was read, in seconds since the epoch.
    """

    database: str
    pid: int | None
    cursor: str | None
    delta: str
    last_cycle: dict[str, Any] | None
    trouble: str | None
    rows: dict[str, int]
    changes: dict[str, int]
    conflicts_open: int
    conflicts: int
    requests_last_minute: int
    requests_per_minute: int
    poll_interval: int
    now: float = field(default_factory=time.time)

    @property
    def held(self) -> dict[str, int]:
        """Removals that wait for approval, by table."""
        return (self.last_cycle or {}).get("held") or {}

    @property
    def age(self) -> float | None:
        """Seconds since the last finished cycle."""
        return None if self.last_cycle is None else self.now - self.last_cycle["finished_at"]

    @property
    def last_cycle_text(self) -> str:
        """The last cycle in words."""
        if self.last_cycle is None or self.age is None:
            return "none yet"
        finished = datetime.fromtimestamp(self.last_cycle["finished_at"], UTC)
        facts = ", ".join(
            f"{name} {self.last_cycle[name]}" for name in ("pulled", "pushed", "conflicts")
        )
        return f"{finished:%Y-%m-%d %H:%M:%SZ}, {self.age:.0f} s ago: {facts}"

    @property
    def advice(self) -> list[str]:
        """What is not well, each with what to do."""
        found = []
        if self.last_cycle is None:
            found.append("nothing was mirrored yet: run `hisync sync`")
        elif (
            self.pid is not None and self.age is not None and self.age > 3 * self.poll_interval + 60
        ):
            found.append("the daemon has finished no cycle for a while: look at its log")
        if self.held:
            total = sum(self.held.values())
            found.append(
                f"{total} rows are gone from hiTask, more than safety.max_removals allows: if "
                f"that is right, run `hisync sync --allow-removals {total}`"
            )
        if number := self.changes.get("held"):
            found.append(
                f"{number} deletions are held: if they are right, run "
                f"`hisync sync --allow-deletes {number}`"
            )
        if number := self.changes.get("rejected"):
            found.append(f"{number} changes were rejected: `hisync changes list` says why")
        if self.trouble:
            found.append(f"hiTask could not be asked the last time: {self.trouble}")
        return found

    @property
    def well(self) -> bool:
        """Whether there is nothing to do."""
        return not self.advice

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"well": self.well, "advice": self.advice, **asdict(self), "held": self.held}


def load_status(config: Config, mirror: Mirror) -> Status:
    """Read the state of a mirror, changing nothing."""
    now = time.time()
    with mirror.reading() as connection:
        engine_state = state.load(connection)
        counted = changes.counts(connection)
        booked = requests.booked_since(connection, now - 60)
        return Status(
            database=str(mirror.path),
            pid=mirror.holder(),
            cursor=engine_state.cursor,
            delta=engine_state.delta,
            last_cycle=engine_state.last_cycle,
            trouble=engine_state.trouble,
            rows=dict(rows.count_rows(connection)),
            changes={
                name: number
                for name, number in sorted(counted.items())
                if name not in {"done", "merged", "discarded"}
            },
            conflicts_open=records.open_conflicts(connection),
            conflicts=records.count_conflicts(connection),
            requests_last_minute=sum(number for _, number in booked),
            requests_per_minute=config.rate.requests_per_minute,
            poll_interval=config.sync.poll_interval,
            now=now,
        )
