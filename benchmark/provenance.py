"""What a number depends on besides the configuration: versions, commit, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import resource
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..tasks.sources import file_sha256

PACKAGES = ("seqedit-bench", "torch", "transformers", "lm-eval", "datasets", "tokenizers")
_ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = ("benchmark", "editors", "leaderboards", "tasks")
_OWN = [_ROOT / name for name in _FOLDERS]
_CODE = (*_FOLDERS, "pyproject.toml", ":(exclude)leaderboards/entries")
"""What of a checkout numbers depend on: an editor's file beside it has a digest of its own."""


def collect(device: torch.device, started: datetime, include: Path | None = None) -> dict[str, Any]:
    """Return versions, digests of code, commit, dirty flag, platform, device and start time."""
    commit, dirty = _commit()
    cuda = device.type == "cuda"
    return {
        "started": started.isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "sources_sha256": sources_sha256(*_OWN),
        "include_sha256": sources_sha256(include) if include else None,
        "commit": commit,
        "dirty": dirty,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if cuda else platform.machine(),
        "device_type": device.type,
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
    }


def sources_sha256(*folders: Path) -> str:
    """Return one digest of all code and YAML files in some folders, names included."""
    whole = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".yaml", ".yml") and path.is_file():
                name = path.relative_to(folder).as_posix()
                whole.update(f"{folder.name}/{name} {file_sha256(path)}\n".encode())
    return whole.hexdigest()


def _cpu() -> str:
    """Return the processor, and which of its instructions torch uses: sums round accordingly."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    name = found.group(1).strip() if found else platform.processor()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def _commit(root: Path = _ROOT) -> tuple[str | None, bool | None]:
    """Return commit of the checkout this runs from, and whether its code has changed since.

    None for an installed copy.
    """
    if not (root / "pyproject.toml").is_file():
        return None, None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit.strip(), bool(_git(root, "status", "--porcelain", "--", *_CODE).strip())
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout


def peak_memory(device: torch.device) -> int:
    """Return the peak in bytes: of all GPUs together where one is used, else of the process."""
    if device.type == "cuda":
        return sum(map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count())))
    status = Path("/proc/self/status")
    if status.is_file():
        # The kernel's other number begins with what the process that started this one had.
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return int(found.group(1)) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
