"""The commands that put right what is not as it should be: `verify` and `restore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hisync.cli.exits import ExitCode, reported
from hisync.cli.opening import open_engine, open_to_read, own_name, read_config
from hisync.cli.printing import print_json, print_text

if TYPE_CHECKING:
    from hisync.config import Config
    from hisync.deciding.subject import Restored
    from hisync.engine import Engine


@reported
def verify(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is found; what it replaces is kept.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare every row with hiTask. Ends with 4 if something differs."""
    from hisync.cli.differences import repaired_lines, report_as_dict, report_lines
    from hisync.cli.progress import progress_bar
    from hisync.verifying.repair import repair as repair_mirror
    from hisync.verifying.verify import verify as verify_mirror

    config, name = _config_with_mirror(context), own_name(context.obj)
    repaired = None
    with open_engine(config) as engine, progress_bar() as engine.progress:
        if repair:
            repaired = repair_mirror(engine)
            report = repaired.report
        else:
            report = verify_mirror(engine)
    if as_json:
        print_json(report_as_dict(report, repaired))
    else:
        for line in report_lines(report):
            print_text(line)
        if repaired is not None:
            for line in repaired_lines(repaired, name):
                print_text(line)
        elif report.differences:
            print_text(
                f"to mend this, run `{name} verify --repair`: rows become what hiTask says, and "
                "values that it replaces are kept in the table conflicts"
            )
    clean = repaired.complete if repaired is not None else not report.differences
    raise typer.Exit(ExitCode.DONE if clean else ExitCode.HELD)


@reported
def restore(
    context: typer.Context,
    guid: Annotated[
        str, typer.Argument(help="The row's guid, as in removed_rows.", show_default=False)
    ],
    as_new: Annotated[
        bool,
        typer.Option("--as-new", help="Create it again, as a new item, from its last values."),
    ] = False,
) -> None:
    """Bring an archived item back on hiTask, or create a removed one again."""
    from hisync.deciding.restore import restore as restore_item

    config, name = _config_with_mirror(context), own_name(context.obj)
    with open_engine(config) as engine:
        restored = (
            _create_again(engine, guid.strip()) if as_new else restore_item(engine, guid.strip())
        )
    what = f"{restored.table} {restored.guid} {restored.title!r}"
    print_text(_RESTORED[restored.outcome].format(what=what, id=restored.id, name=name))
    for note in restored.notes:
        print_text(f"note: {note}")
    raise typer.Exit(_EXITS.get(restored.outcome, ExitCode.DONE))


_RESTORED = {
    "here": "nothing to restore: {what} is in the mirror",
    "restored": "restored: {what} is back on hiTask, item {id}",
    "unseen": "hiTask answered OK, but does not show {what} yet: run `{name} sync` in a while",
    "put back": "put back: {what} is a new row; sync.direction is pull-only, so it stays here",
    "created": "created again: {what} is on hiTask, item {id}",
    "waits": "put back: {what} is a new row and waits to be sent: see `{name} changes list`",
    "refused": "put back: {what} is a new row, but hiTask refuses it: see `{name} changes list`",
}

_EXITS = {
    "unseen": ExitCode.LATER,
    "waits": ExitCode.LATER,
    "refused": ExitCode.HELD,
}


def _create_again(engine: Engine, guid: str) -> Restored:
    """Put it in again, and push it as any edit."""
    from hisync.cycle import run_cycle
    from hisync.deciding.recreate import outcome_of, put_back

    put = put_back(engine, guid)
    if put.outcome != "put back" or not engine.rules.push:
        return put
    print_text(f"put back as a new row with the guid {put.guid}; now syncing")
    run_cycle(engine)
    return outcome_of(engine, put)


def _config_with_mirror(context: typer.Context) -> Config:
    """The configuration of a mirror that is there: these commands make none."""
    config = read_config(context.obj)
    with open_to_read(config, check=False):
        return config
