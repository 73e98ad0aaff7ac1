"""The metrics that `/metrics` shows, each with its name, its labels and what it says.

Imported only where `monitor.listen` is set, since prometheus-client takes 0.14 s to import. A name
here is a promise to dashboards and alerts: `deploy/` has some, and a test holds them to this.
Public: `render_metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

import hisync
from hisync.watch.figures import Figures
from hisync.watch.vitals import Vitals, judge

_WAITING: Final = ("pending", "blocked", "held", "sending", "unknown", "rejected")

Figure: TypeAlias = Callable[[], Figures | None]
"""The mirror's figures now, None while they can't be read."""


class _Collector(Collector):
    def __init__(self, vitals: Vitals, per_minute: int, figures: Figure) -> None:
        self._vitals = vitals
        self._per_minute = per_minute
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        yield from _of_the_process(self._vitals)
        yield GaugeMetricFamily(
            "hisync_request_budget",
            "Requests that any minute may see, as configured.",
            self._per_minute,
        )
        figures = self._figures()
        yield GaugeMetricFamily(
            "hisync_mirror_readable", "Whether the database could be read.", figures is not None
        )
        if figures is not None:
            yield from _of_the_mirror(figures)


def render_metrics(vitals: Vitals, per_minute: int, figures: Figure) -> Callable[[], bytes]:
    """What `/metrics` answers.

    Args:
        vitals: what the process knows of itself.
        per_minute: the budget, `rate.requests_per_minute`.
        figures: what the mirror shows, asked at each scrape.

    Returns:
        A function that renders all metrics in Prometheus' text format.
    """
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(_Collector(vitals, per_minute, figures))
    return lambda: generate_latest(registry)


def _of_the_process(vitals: Vitals) -> Iterable[Metric]:
    now = vitals.clock()
    info = InfoMetricFamily("hisync", "The version that runs.")
    info.add_metric([], {"version": hisync.__version__})
    yield info
    yield _labelled(
        CounterMetricFamily("hisync_cycles", "Cycles by how they ended.", labels=["outcome"]),
        {("good",): 0, ("trouble",): 0} | {(k,): n for k, n in vitals.cycles.items()},
    )
    cycles = sum(vitals.cycles.values())
    yield SummaryMetricFamily(
        "hisync_cycle_seconds", "How long cycles took.", cycles, vitals.seconds
    )
    lag = max(0.0, now - vitals.missed_since)
    for name, says, value in (
        ("hisync_lag_seconds", "Seconds since the last good cycle, or the start.", lag),
        ("hisync_poll_interval_seconds", "Seconds between polls now.", vitals.interval),
        ("hisync_healthy", "Whether /healthz says ok.", judge(vitals, now).ok),
        ("hisync_standby", "Whether it waits for another.", vitals.standing_by is not None),
        ("hisync_login_refused", "Whether hiTask refuses the login.", vitals.refused),
    ):
        yield GaugeMetricFamily(name, says, value)
    for name, says, count in (
        ("hisync_rows_pulled", "Rows changed in the mirror by hiTask's word.", vitals.pulled),
        ("hisync_changes_pushed", "Changes that hiTask carried out.", vitals.pushed),
        ("hisync_conflicts_recorded", "Conflicts recorded since the start.", vitals.conflicts),
    ):
        yield CounterMetricFamily(name, says, count)
    yield _labelled(
        CounterMetricFamily(
            "hisync_requests", "Requests by cause and outcome.", labels=["cause", "outcome"]
        ),
        vitals.requests.copy(),
    )


def _of_the_mirror(figures: Figures) -> Iterable[Metric]:
    for name, says, label, values in (
        ("hisync_rows", "Rows by table.", "table", figures.rows),
        (
            "hisync_queue",
            "Changes that wait or stand rejected.",
            "state",
            dict.fromkeys(_WAITING, 0) | dict(figures.queue),
        ),
        ("hisync_removals_held", "Removals that wait for approval.", "table", figures.held),
    ):
        family = GaugeMetricFamily(name, says, labels=[label])
        yield _labelled(family, {(key,): number for key, number in values.items()})
    yield _labelled(
        GaugeMetricFamily(
            "hisync_requests_last_hour",
            "Requests of the last hour by cause and outcome, across restarts.",
            labels=["cause", "outcome"],
        ),
        figures.used_last_hour,
    )
    for name, says, value in (
        (
            "hisync_oldest_waiting_seconds",
            "Age of the oldest change that waits.",
            figures.oldest_waiting,
        ),
        ("hisync_conflicts", "Conflicts in the table.", figures.conflicts),
        ("hisync_conflicts_open", "Conflicts that nobody has settled.", figures.conflicts_open),
        (
            "hisync_requests_last_minute",
            "Requests booked in the last minute.",
            figures.booked_last_minute,
        ),
        (
            "hisync_request_budget_allowed",
            "Requests that any minute may see now, after hiTask's complaints.",
            figures.allowed_per_minute,
        ),
        ("hisync_comments_items", "Items with comments.", figures.comments_items),
        (
            "hisync_comments_read",
            "Items whose comments are all in the mirror.",
            figures.comments_read,
        ),
        (
            "hisync_comments_forecast_seconds",
            "Seconds until all comments are in the mirror.",
            figures.comments_forecast,
        ),
    ):
        yield GaugeMetricFamily(name, says, value)


def _labelled(
    family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[Any, float]
) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
