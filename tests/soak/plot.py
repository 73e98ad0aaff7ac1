"""Draws a soak: requests a minute, memory and database size over its days. Public: `plot`."""

from __future__ import annotations

from pathlib import Path

from tests.soak.virtual import Soak


def plot(soak: Soak, file: Path) -> None:
    """Draw it into a file, as an SVG or whatever its name says."""
    import matplotlib as mpl

    mpl.use(file.suffix.removeprefix(".") if file.suffix == ".svg" else "agg")
    mpl.rcParams["svg.hashsalt"] = "hisync"
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, (requests, memory, database) = plt.subplots(
        3, 1, figsize=(9, 6.5), sharex=True, layout="constrained"
    )
    days = [(number + 1) / 24 for number in range(len(soak.hours))]
    most = [max(hour.minutes) for hour in soak.hours]
    mean = [sum(hour.minutes) / 60 for hour in soak.hours]
    requests.axhline(soak.budget, color="tab:red", lw=0.8, ls="--", label="the budget")
    requests.plot(days, most, lw=0.6, label="the hour's busiest minute")
    requests.plot(days, mean, lw=0.8, label="the hour's mean")
    requests.set(title="Requests a minute", ylim=(0, soak.budget * 1.45))
    requests.legend(loc="upper right", ncols=3, fontsize="small", frameon=False)
    memory.plot(days, [hour.memory / 1e6 for hour in soak.hours], lw=0.8)
    memory.set(title="The daemon's memory, MB", ylim=(0, None))
    database.plot(days, [hour.database / 1e6 for hour in soak.hours], lw=0.8)
    database.set(title="The database and its log, MB", ylim=(0, None), xlabel="days")
    for axes in (requests, memory, database):
        axes.grid(visible=True, alpha=0.3)
        axes.set_xlim(0, soak.days)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
