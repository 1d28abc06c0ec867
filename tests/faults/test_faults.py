"""Runs that are killed and hurt for real, in processes of their own; `make soak` does much more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).with_name("soak.py")


def test_nothing_is_lost() -> None:
    """A few kills, drawn with a fixed seed, over editors of every kind."""
    editors = "mend,grace,memit_seq"
    command = [sys.executable, str(SOAK), "--kills", "4", "--editors", editors, "--seed", "7"]
    done = subprocess.run(
        [*command, "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    tallies = json.loads(done.stdout)
    assert set(tallies) == set(editors.split(","))
    assert sum(each["kills"] for each in tallies.values()) >= 4
    for each in tallies.values():
        assert (each["lost"], each["differing"], each["wrong"]) == (0, 0, [])
