"""MEND: a trained hypernetwork turns an edit's gradient into an update (Mitchell et al. 2022).

`harness` repeats two faults of the code that ROME's and MEMIT's papers ran MEND with, which their
numbers contain: the wrapper stays in training mode, so the first edit overwrites the trained
normaliser with its own tokens and later ones go on from there; and the learned rates are kept in
one order and used in that of `named_parameters`, which swaps them within each block of a GPT-2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..tasks import EditCase, EditRequest
from ..tasks.errors import InputError
from ..tasks.sources import file_sha256
from ._architecture import Architecture, add_update, oriented
from ._base import Editor, EditReport, Hparams, Layers, ModelShape
from ._hypernetwork import Hypernetwork, Matrix, Normaliser
from ._mend_checkpoint import (
    Header,
    checkpoint_path,
    convert_pt,
    load_checkpoint,
    load_network,
    refuse_to_replace,
    save_checkpoint,
    training_path,
)
from ._mend_session import Trained, run_training
from ._mend_training import Example, Trainer, TrainingSettings, prose_texts
from ._trace import frozen
from ._upper import Text, Upper, mean_nll

UNTRAINED = "untrained"
_OUT_FIRST = frozenset({"gpt2"})
"""Families whose published configuration lists the down-projection first; rates are kept so."""


class MENDHparams(Hparams):
    layers: Layers
    """Blocks whose two MLP projections are edited."""
    mend_mode: Literal["correct", "harness"] = "correct"
    lr_scale: float = 1.0
    """Factor on every update."""
    checkpoint: str | None = None
    """The trained network; null takes the one trained for this model, `untrained` none."""
    rank: int = Field(1920, ge=1)
    """Largest rank of the hypernetwork's layers."""
    edit_lr: float = -1e-4
    """Initial rate of an untrained network; negative, so that training starts from descent."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        return {"layers": list(range(max(0, shape.depth - 3), shape.depth))}


class MEND(Editor):
    """One forward and backward pass an edit; the pieces of several facts add up."""

    batched = True
    needs = frozenset({"training"})
    Hparams = MENDHparams
    hparams: MENDHparams
    Training = TrainingSettings
    """What `train` takes."""

    def prepare(self) -> dict[str, Any]:
        if self.hparams.checkpoint == UNTRAINED:
            self._network = self._new_network()
            header, origin = None, {"checkpoint": UNTRAINED}
        else:
            header, origin = self._load()
        self._trained_on = _subjects(header.provenance) if header else set()
        self._network.requires_grad_(False)
        self._fresh = True
        return origin

    def edited_parameters(self) -> list[str]:
        return [f"{matrix.name}.weight" for matrix in self._matrices]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        harness = self.hparams.mend_mode == "harness"
        texts = [Text.answer(self.tokenizer, r.text, r.target_new) for r in requests]
        with frozen(self.model):
            below = self._upper.below(texts)
            found, first = self._upper.pieces(texts, below)
            with torch.no_grad():
                if harness and self._fresh:
                    for normaliser in self._normalisers().values():
                        normaliser.reset()
                self._fresh = False
                updates = self._network.updates(found, self._rates(), running=harness)
                norms = {
                    f"{name}.weight": add_update(self._upper.modules[name], update.matrix())
                    for name, update in updates.items()
                }
                last = mean_nll(texts, self._upper.log_probs(self._upper.reads(texts, below)))
        reports = [
            {
                "loss_first": before,
                "loss": after,
                "seen_in_training": float(subject_digest(request.subject) in self._trained_on),
            }
            for request, before, after in zip(requests, first.tolist(), last.tolist(), strict=True)
        ]
        return EditReport(tuple(reports), norms)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the normaliser where it drifts."""
        if self.hparams.mend_mode == "correct":
            return {}
        state = {"fresh": torch.tensor(self._fresh)}
        for name, normaliser in self._normalisers().items():
            state |= {f"{name}.{key}": t.clone() for key, t in normaliser.state_dict().items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        if self.hparams.mend_mode == "correct":
            super().load_state_dict(state)
            return
        self._fresh = bool(state["fresh"])
        for name, normaliser in self._normalisers().items():
            normaliser.load_state_dict(
                {key: state[f"{name}.{key}"] for key in normaliser.state_dict()}
            )

    def train(
        self,
        cases: Sequence[EditCase],
        validation: Sequence[EditCase],
        settings: TrainingSettings,
        *,
        steps: int,
        provenance: dict[str, Any],
        restart: bool = False,
        note: Callable[[str], None] = lambda _: None,
    ) -> Trained:
        """Train a network for this model to where `prepare` looks for it, or go on doing so.

        Args:
            cases: The facts to train on.
            validation: Others, to validate with.
            settings: Settings of the training.
            steps: Steps in all.
            provenance: Where the facts come from, for the record.
            restart: Begin anew, whatever is there.
            note: Told about validations.

        Raises:
            InputError: what is there comes from another training.
        """
        network = self._new_network(seed=settings.seed)
        header = Header(
            weights_sha256=self.weights_sha256,
            matrices=self._names(),
            rank=self.hparams.rank,
            provenance={
                **provenance,
                "settings": settings.model_dump(),
                "lr_scale": self.hparams.lr_scale,
                "edit_lr": self.hparams.edit_lr,
                "trained_on": {
                    "case_ids": [case.case_id for case in cases],
                    "subjects": [subject_digest(case.request.subject) for case in cases],
                },
            },
        )
        with frozen(self.model):
            trainer = Trainer(
                self._upper,
                network,
                self._examples(cases, settings),
                self._examples(validation, settings),
                prose_texts(self.tokenizer) if settings.prose else [],
                settings,
                lr_scale=self.hparams.lr_scale,
                progress=self.progress,
            )
            return run_training(
                trainer,
                path=self.default_path(),
                header=header,
                steps=steps,
                restart=restart,
                progress=self.progress,
                note=note,
            )

    def _examples(self, cases: Sequence[EditCase], settings: TrainingSettings) -> list[Example]:
        tokenizer = self.tokenizer
        by_relation: dict[str | None, list[str]] = {}
        for case in cases:
            if relation := case.request.relation_id:
                by_relation.setdefault(relation, []).append(case.request.text)
        examples = []
        for case in cases:
            request, true = case.request, case.request.target_true
            prompts = [*case.neighborhood_prompts[: settings.local]]
            related = by_relation.get(request.relation_id, [request.text])
            place = related.index(request.text)
            # The same relation of other subjects: what an edit is likeliest to spill over to.
            prompts += related[place + 1 :] + related[:place]
            local = [Text.ending(tokenizer, prompt) for prompt in prompts[: settings.local]]
            for question in case.locality:
                answer = Text.answer(tokenizer, question.prompt, question.answer)
                local.append(answer._replace(labels=()))
            examples.append(
                Example(
                    Text.answer(tokenizer, request.text, request.target_new),
                    tuple(
                        Text.answer(tokenizer, prompt, request.target_new)
                        for prompt in case.paraphrase_prompts[: settings.wordings]
                    ),
                    tuple(local[: settings.local]),
                    Text.answer(tokenizer, request.text, true) if true else None,
                )
            )
        return examples

    def convert(self, source: Path, *, restart: bool = False) -> Path:
        """Convert a published `.pt` checkpoint to where `prepare` looks for it; return that.

        Args:
            source: The checkpoint.
            restart: Replace what is there, the state of an unfinished training included.

        Raises:
            InputError: there is a network already, or the file holds more than tensors, or is for
                other matrices.
        """
        path = self.default_path()
        if not restart:
            refuse_to_replace(path)
        tensors, rank = convert_pt(source, self._matrices)
        provenance = {"converted_from": source.name, "converted_sha256": file_sha256(source)}
        header = Header(
            weights_sha256=None, matrices=self._names(), rank=rank, provenance=provenance
        )
        # Or the next training would go on from there, and replace the network.
        training_path(path).unlink(missing_ok=True)
        save_checkpoint(path, tensors, header)
        return path

    def default_path(self) -> Path:
        """Return where the network trained for this model and these layers lies."""
        return checkpoint_path(self.cache_dir, self.weights_sha256, self._matrices)

    def _names(self) -> list[str]:
        return [matrix.name for matrix in self._matrices]

    @cached_property
    def _matrices(self) -> list[Matrix]:
        """The edited matrices, in the order in which the published checkpoints keep their rates."""
        architecture = Architecture.of(self.model)
        found = []
        for layer in self.hparams.layers:
            architecture.mlp_out(self.model, layer)  # says which layers there are
            names = [architecture.mlp_in_name(layer), architecture.mlp_out_name(layer)]
            if architecture.model_type in _OUT_FIRST:
                names.reverse()
            for name in names:
                d_out, d_in = oriented(self.model.get_submodule(name)).shape
                found.append(Matrix(name, d_in, d_out))
        return found

    @cached_property
    def _upper(self) -> Upper:
        architecture = Architecture.of(self.model)
        return Upper(self.model, architecture, self.hparams.layers[0], self._names())

    def _new_network(self, *, rank: int | None = None, seed: int | None = None) -> Hypernetwork:
        network = Hypernetwork(
            self._matrices,
            rank=rank or self.hparams.rank,
            edit_lr=self.hparams.edit_lr,
            seed=self.seed if seed is None else seed,
        )
        return network.to(self.model.device)

    def _load(self) -> tuple[Header, dict[str, Any]]:
        given = self.hparams.checkpoint
        digest = self.weights_sha256
        path = Path(given) if given else self.default_path()
        if given is None and not path.is_file():
            raise InputError(
                "MEND is not trained for this model and these layers: train it first "
                "(seqedit-bench train mend --model ...), convert a published checkpoint "
                "(train mend --from-pt FILE), or name a file with --hparams checkpoint=FILE"
            )
        tensors, header = load_checkpoint(path)
        if header.training:
            raise InputError(f"{path} is the state of an unfinished training, not a network")
        if header.matrices != self._names():
            raise InputError(
                f"{path} edits {', '.join(header.matrices)}; "
                f"this model and these layers have {', '.join(self._names())}"
            )
        if header.weights_sha256 not in (None, digest):
            raise InputError(
                f"{path} was trained on another model (weights {header.weights_sha256[:12]}..., "
                f"these are {digest[:12]}...)"
            )
        self._network = self._new_network(rank=header.rank)
        load_network(self._network, tensors, path)
        shown = {key: value for key, value in header.provenance.items() if key != "trained_on"}
        return header, {"checkpoint": path.name, "sha256": file_sha256(path), **shown}

    def _rates(self) -> dict[str, Tensor]:
        """Return the rate of each matrix, `lr_scale` included."""
        names = self._names()
        if self.hparams.mend_mode == "harness":
            # The harness hands them out in the model's own order.
            order = [name.removesuffix(".weight") for name, _ in self.model.named_parameters()]
            names.sort(key=order.index)
        rates = self.hparams.lr_scale * self._network.edit_lrs.detach()
        return dict(zip(names, rates, strict=True))

    def _normalisers(self) -> dict[str, Normaliser]:
        return {
            name: module
            for name, module in self._network.named_modules()
            if isinstance(module, Normaliser)
        }


def _subjects(provenance: dict[str, Any]) -> set[str]:
    """Return the digests of the subjects that a network was trained on, as far as it says."""
    trained_on = provenance.get("trained_on")
    subjects = trained_on.get("subjects") if isinstance(trained_on, dict) else None
    listed = subjects if isinstance(subjects, list) else []
    return {subject for subject in listed if isinstance(subject, str)}


def subject_digest(subject: str) -> str:
    """Return a short digest of a subject, by which a checkpoint remembers what it was trained on.

    Example:
        >>> subject_digest("Paris") == subject_digest("paris")
        True
    """
    return hashlib.sha256(subject.lower().encode()).hexdigest()[:12]
