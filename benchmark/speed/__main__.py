"""`python -m seqedit_bench.benchmark.speed`: the engine against the plain way, as ratios."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ...tasks.errors import InputError, unknown_name
from .. import provenance
from ..config import RunConfig
from ..lacking_signs import write_otherwise
from . import editing_rows, run_rows, scoring_rows
from .measure import Measurement, table_of
from .setting import Setting

ROWS: dict[str, Callable[[Setting], Measurement]] = {
    "likelihoods": scoring_rows.likelihoods,
    "generations": scoring_rows.generations,
    "record": scoring_rows.one_record,
    "retention": scoring_rows.retention,
    "tokens": scoring_rows.tokens,
    "rome": editing_rows.rome_edit,
    "memit": editing_rows.memit_solve,
    "pace": run_rows.pace,
    "memory": run_rows.memory,
}
REPEATS = 5


def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller shares of the same work.")
    ] = False,
    rows: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    repeats: Annotated[int, typer.Option(min=3)] = REPEATS,
    model: Annotated[str, typer.Option()] = "smollm2-135m",
    data_dir: Annotated[Path | None, typer.Option(envvar="SEQEDIT_DATA_DIR")] = None,
    device: Annotated[str | None, typer.Option()] = None,
    dtype: Annotated[str, typer.Option()] = "float32",
    output: Annotated[Path | None, typer.Option(help="JSON file for all numbers.")] = None,
) -> None:
    """Measure the engine against the plain way; the status is 1 if they do not agree."""
    names = [name.strip() for name in rows.split(",")] if rows else list(ROWS)
    for name in names:
        if name not in ROWS:
            raise unknown_name("row", name, ROWS)
    fields: dict[str, Any] = {"model": model, "data_dir": data_dir, "device": device}
    config = RunConfig.model_validate({"editor": "none", "dtype": dtype, **fields})
    console = Console()
    setting = Setting.load(config, repeats=repeats, quick=quick)
    started = datetime.now()
    measured = []
    for name in names:
        with console.status(f"measuring {name} ({len(measured) + 1} of {len(names)})"):
            measured.append(ROWS[name](setting))
        console.print(f"{name}: {measured[-1].ratio:.3g}", highlight=False)
    console.print(table_of(measured))
    if output is not None:
        record = {
            "environment": provenance.collect(setting.loaded.model.device, started),
            "load_average": os.getloadavg(),
            "model": model,
            "dtype": dtype,
            "data": setting.source.name,
            "quick": quick,
            "rows": {row.name: row.to_json() for row in measured},
        }
        output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        console.print(f"numbers: {output}", markup=False, highlight=False)
    if not all(row.agrees for row in measured):
        raise SystemExit(1)


def main() -> None:
    """Run the command; mistakes end in one line and status 2."""
    write_otherwise()
    try:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command()(bench)
        app(standalone_mode=False)
    except (InputError, typer.BadParameter.__mro__[1]) as error:  # type: ignore[misc]
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
