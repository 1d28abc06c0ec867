"""Models: load one by alias, folder or hub id; follow how far editing has moved its weights."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from ..editors._cache_files import replacing
from ..editors._fingerprint import weights_sha256
from ..editors._head import check_head
from ..editors._hook import compute_in_float32
from ..tasks.errors import InputError, unknown_name
from ..tasks.sources import file_sha256
from ..tasks.tokenization import Tokenizer
from .aliases import model_aliases, short_name

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to be edited, and what it is."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    name: str
    """Alias, hub id, or name of the folder."""
    revision: str | None
    """Commit on the hub, where there is one."""
    weights_sha256: str
    """Digest of the weights as loaded."""


def load_model(
    name: str,
    *,
    device: str | None,
    dtype: str,
    cache_dir: Path,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load a causal language model in eval mode, with its fast tokenizer.

    Args:
        name: An alias of `models.yaml`, a folder, or a hub id.
        device: Torch device; None takes the GPU if there is one, `auto` spreads the layers over all
            GPUs there are.
        dtype: Type of the weights; never the checkpoint's own by default (transformers 5 loads
            half-precision checkpoints as half, where small edits round to nothing).
        cache_dir: Where the bundled model's converted weights are kept.
        trust_remote_code: Whether Python code that comes with the model may run.

    Raises:
        InputError: there is no such type, or the model is unknown, not installed, not downloadable,
            not loadable, needs code of its own that it may not run, holds weights that are not
            finite, or gives logits that its head alone does not.
    """
    if dtype not in DTYPES:
        raise InputError(f"--dtype {dtype!r}: {', '.join(DTYPES)}")
    place = locate_model(name, cache_dir=cache_dir)
    transformers_logging.disable_progress_bar()
    try:
        spread = {"device_map": "auto"} if device == "auto" else {}
        model = AutoModelForCausalLM.from_pretrained(
            place,
            dtype=getattr(torch, dtype),
            trust_remote_code=trust_remote_code,
            **spread,
        )
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=trust_remote_code)
    except Exception as error:  # a spoilt file can fail in any of a dozen libraries
        reason = " ".join(str(error).split())[:200]
        if "trust_remote_code" in str(error):
            raise InputError(
                f"model {name!r} comes with Python code of its own: read it, and if you trust it "
                "say --trust-remote-code"
            ) from None
        raise InputError(f"cannot load model {name!r} from {place}: {reason}") from error
    if not tokenizer.is_fast:
        raise InputError(f"model {name!r} has no fast tokenizer: subjects cannot be located")
    if any(parameter.is_meta for parameter in model.parameters()):
        raise InputError(
            f"--device auto: memory does not hold all of {name!r}: try --dtype bfloat16"
        )
    try:
        if device != "auto":
            place_on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            nn.Module.to(model, place_on)
        digest = weights_sha256(model)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}") from error
    if (broken := _not_finite(model)) is not None:
        raise InputError(f"model {name!r}: {broken} holds NaN or infinity: nothing can be measured")
    model.eval()
    check_head(model)
    revision = getattr(model.config, "_commit_hash", None)
    # Where a folder lies is nobody else's business.
    return LoadedModel(model, tokenizer, short_name(name), revision, digest)


def _not_finite(model: PreTrainedModel) -> str | None:
    """Return the name of a parameter that holds NaN or infinity, if any does."""
    for name, parameter in model.named_parameters():
        # Both ends are NaN as soon as one entry is; nothing of the parameter's size is made.
        ends = torch.stack(torch.aminmax(parameter.detach()))
        if not bool(ends.isfinite().all()):
            return name
    return None


def locate_model(name: str, *, cache_dir: Path) -> str:
    """Return what to hand to `from_pretrained`: a folder or a hub id.

    Raises:
        InputError: the name is none of alias, folder and hub id.
    """
    aliases = model_aliases()
    if name in aliases:
        entry = aliases[name]
        return entry["hub"] if "hub" in entry else str(_from_wheel(name, entry, cache_dir))
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise InputError(f"model folder {name} has no config.json")
        return name
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith("/"):
        return name
    if "/" in name:
        raise InputError(f"model folder {name} is not there")
    hint = "; any other is named as on the hub, owner/name, or by its folder"
    raise InputError(f"{unknown_name('model', name, aliases)}{hint}")


def _from_wheel(name: str, entry: dict[str, Any], cache_dir: Path) -> Path:
    """Convert a GGUF file out of an installed package to safetensors, once, and return the folder.

    `find_spec` does not run the package: its own imports are not installed.
    """
    spec = importlib.util.find_spec(entry["wheel"])
    if spec is None or spec.origin is None:
        raise InputError(
            f"model {name!r} is not installed: {entry['install']} (`make demo` does it)"
        )
    folder = cache_dir / "models" / f"{name}-{entry['sha256'][:12]}"
    if (folder / "config.json").is_file():
        return folder
    source = next(iter(sorted(Path(spec.origin).parent.rglob("*.gguf"))), None)
    if source is None or file_sha256(source) != entry["sha256"]:
        raise InputError(
            f"model {name!r}: the installed file is not the expected one: {entry['install']}"
        )
    if importlib.util.find_spec("gguf") is None:
        raise InputError(f"model {name!r} needs the gguf package to be read: pip install gguf")
    _convert(source, folder)
    return folder


def _convert(source: Path, folder: Path) -> None:
    from tokenizers import pre_tokenizers

    arguments: dict[str, Any] = {"gguf_file": source.name}
    # The reader draws a bar of its own that no setting turns off.
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            source.parent, dtype=torch.float32, trust_remote_code=False, **arguments
        )
        tokenizer = AutoTokenizer.from_pretrained(
            source.parent, trust_remote_code=False, **arguments
        )
    # The loader restores only the byte-level step; SmolLM2 splits digits one by one before it.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    # The saved weights are plain float32: nothing may take them for quantised ones.
    vars(model.config).pop("quantization_config", None)
    vars(model)["hf_quantizer"] = None
    with replacing(folder) as temporary:
        temporary.mkdir()
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def keep_in_float32(model: PreTrainedModel, names: Sequence[str]) -> None:
    """Hold the projections that edits change in float32, where the model is in half precision.

    An edit changes most weights by less than half precision can tell apart: added up there, a
    sequence of edits would measure the rounding. These matrices also compute in float32; what goes
    in and out of them stays in the model's own type.

    Args:
        model: The live model, on its device.
        names: Parameters that edits change; those that belong to no projection stay as they are.
    """
    for owner in dict.fromkeys(name.rpartition(".")[0] for name in names):
        module = model.get_submodule(owner)
        if not isinstance(module, (nn.Linear, Conv1D)) or module.weight.dtype == torch.float32:
            continue
        outside = module.weight.dtype
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.float()
        compute_in_float32(module, outside)


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one matrix is from where it started."""

    l2: float
    """Frobenius norm of the difference."""
    l2_per_param: float
    """The same divided by the number of entries: the paper's normalised distance."""
    l2_relative: float
    """The same divided by the norm of the original."""


class OriginalWeights:
    """Copies of the matrices an editor changes: to measure distance, take deltas, and restore.

    The model itself is the only other copy in memory; while an editor is at work there is one more,
    a `Snapshot`.
    """

    def __init__(self, model: PreTrainedModel, names: Sequence[str]) -> None:
        self._live = {name: model.get_parameter(name) for name in names}
        self._originals = {name: live.detach().clone() for name, live in self._live.items()}

    @cached_property
    def _sizes(self) -> dict[str, float]:
        """Norms of the originals, asked for after every edit."""
        return {name: float(each.float().norm()) for name, each in self._originals.items()}

    def deltas(self) -> dict[str, Tensor]:
        """Return live minus original, by parameter name."""
        return {name: live.detach() - self._originals[name] for name, live in self._live.items()}

    def distances(self) -> dict[str, Distance]:
        """Return the distance of each weight matrix; of vectors where no matrix is edited."""
        matrices = {name: live for name, live in self._live.items() if live.dim() > 1}
        result = {}
        for name, live in (matrices or self._live).items():
            original = self._originals[name].float()
            l2 = float((live.detach().float() - original).norm())
            size = self._sizes[name]
            relative = l2 / size if size else (math.inf if l2 else 0.0)
            result[name] = Distance(l2, l2 / live.numel(), relative)
        return result

    def live(self) -> dict[str, Tensor]:
        """Return the matrices themselves, as they are now, by parameter name."""
        return {name: live.detach() for name, live in self._live.items()}

    @torch.no_grad()
    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Put other values into the live matrices, bit for bit.

        Raises:
            InputError: they are for other matrices.
        """
        shapes = {name: (live.shape, live.dtype) for name, live in self._live.items()}
        if {name: (value.shape, value.dtype) for name, value in weights.items()} != shapes:
            raise InputError("the saved weights are for other matrices than this editor changes")
        for name, live in self._live.items():
            live.copy_(weights[name])

    @torch.no_grad()
    def restore(self) -> None:
        """Put the original values back, bit for bit."""
        for name, live in self._live.items():
            live.copy_(self._originals[name])
