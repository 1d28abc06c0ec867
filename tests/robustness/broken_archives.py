"""Broken archives of tensors: second moments and networks."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from robustness.broken import Broken
from safetensors.torch import save


def npz(**arrays: Any) -> bytes:
    """Return an archive of arrays; `__` in a name stands for a dot."""
    stream = io.BytesIO()
    np.savez(stream, **{name.replace("__", "."): value for name, value in arrays.items()})
    return stream.getvalue()


def _archives() -> list[Broken]:
    moments = "moments --model {tiny} --layers 1 --from-npz {folder}"
    name = "transformer.h.1.mlp.c_proj_float32_mom2_100.npz"
    unit = np.eye(48)
    pickled = io.BytesIO()
    np.savez(pickled, **{"mom2.mom2": np.array([{}], dtype=object), "mom2.count": 1})
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr(
            "mom2.mom2.npy",
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order'"
            b": False, 'shape': (999999999, 999999999), }".ljust(118)
            + b"\n",
        )
    cases = [
        ("empty", b""),
        ("garbage", b"PK\x03\x04" + b"x" * 100),
        ("cut", npz(mom2__mom2=unit)[:200]),
        ("no count", npz(mom2__mom2=unit)),
        ("a pickle inside", pickled.getvalue()),
        ("words", npz(mom2__mom2=np.array(["a"]), mom2__count=1)),
        ("a count of words", npz(mom2__mom2=unit, mom2__count="a")),
        ("no tokens", npz(mom2__mom2=unit, mom2__count=0)),
        ("NaN", npz(mom2__mom2=unit * np.nan, mom2__count=9)),
        ("an impossible shape", bomb.getvalue()),
    ]
    lines = [Broken(f"npz: {n}", name, c, "not a .*second mom", moments) for n, c in cases]
    small = npz(mom2__mom2=np.eye(3), mom2__count=9)
    lines.append(Broken("npz: another model's", name, small, "the model's layer 1 has 48", moments))
    singular = npz(mom2__mom2=np.zeros((48, 48)), mom2__count=9)
    lines.append(Broken("npz: zeros", name, singular, "singular", moments, names="layer 1"))
    return lines


def saved(value: Any, header: dict[str, str] | None = None) -> bytes:
    """Return tensors as safetensors with a header, or anything as torch saves it without one."""
    if header is not None:
        return save(value, header)
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _networks() -> list[Broken]:
    mend = "{mend} --hparams checkpoint={path}"
    convert = "train mend --model {tiny} --from-pt {path}"

    def file(header: dict[str, Any], **tensors: Any) -> bytes:
        return save(tensors or {"a": torch.zeros(1)}, {"mend": json.dumps(header)})

    good = {"weights_sha256": None, "matrices": [], "rank": 1}
    code = io.BytesIO()
    torch.save({"model": Path("x")}, code)
    words = io.BytesIO()
    odd = saved({"model": {3: torch.zeros(1)}})
    torch.save({"model": {"nothing": torch.zeros(1)}}, words)
    cases = [
        ("empty", b""),
        ("garbage", b"x" * 100),
        ("no header", save({"a": torch.zeros(1)})),
        ("a header of words", save({"a": torch.zeros(1)}, {"mend": "hello"})),
        ("a rank of zero", file({**good, "rank": 0})),
        ("an extra key", file({**good, "x": 1})),
        ("nested deeply", save({"a": torch.zeros(1)}, {"mend": "[" * 9999})),
        ("a length of 2^60", (2**60).to_bytes(8, "little") + b"{}"),
    ]
    lines = [
        Broken(f"mend: {n}", "m.safetensors", c, "is not a MEND checkpoint", mend) for n, c in cases
    ]
    lines.append(Broken("mend: other matrices", "m.safetensors", file(good), "this model", mend))
    lines += [
        Broken("pt: empty", "m.pt", b"", "not plain tensors", convert),
        Broken("pt: garbage", "m.pt", b"\x80\x02garbage", "not plain tensors", convert),
        Broken("pt: code", "m.pt", code.getvalue(), "refused, as reading", convert),
        Broken("pt: a list", "m.pt", saved([1]), "holds no 'model'", convert),
        Broken("pt: other tensors", "m.pt", words.getvalue(), "unknown tensor 'nothing'", convert),
        Broken("pt: odd keys", "m.pt", odd, "no MEND net", convert),
    ]
    return lines


BROKEN_ARCHIVES = [*_archives(), *_networks()]
