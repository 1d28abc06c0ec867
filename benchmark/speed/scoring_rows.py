"""Rows about evaluation: a downstream checkpoint, an edit's own prompts, retention, tokens."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ...tasks.tokenization import Pair
from ..lmeval import HFLM, Instance, quiet
from ..scoring import Scorer
from . import plain
from .measure import Comparison, Goal, Measurement, timed
from .setting import ABOUT_AN_EDIT, GENERATIONS, LIKELIHOODS, Setting

TOLERANCE = 1e-4
"""Largest difference in a log-likelihood that counts as none, for each token scored."""
PARTS = 5
"""The plain way does a fifth of the work in each repetition, another one each time."""
FIFTH = "a fifth of the work in each repetition, times five"
QUICK_SHARE = 40
"""One document in so many is asked to be quick."""


def likelihoods(setting: Setting) -> Measurement:
    """A checkpoint of four few-shot tasks by likelihood, against the harness's own model."""
    requests = _share(setting, LIKELIHOODS)
    size, stock = _stock(setting, requests)
    parts = _parts(requests)
    same: list[bool] = []

    def plainly(number: int) -> list[tuple[float, bool]]:
        with quiet():
            return stock.loglikelihood(parts[number % PARTS], disable_tqdm=True)

    def difference(number: int, theirs: Any, mine: Any) -> float:
        part = parts[number % PARTS]
        ours = {id(request): score[0] for request, score in zip(requests, mine, strict=True)}
        pairs = [(score[0], ours[id(request)]) for request, score in zip(part, theirs, strict=True)]
        same.extend(_same_choices(part, pairs))
        return max(abs(one - other) for one, other in pairs)

    before = setting.lm.scorer.tokens_scored
    found = Comparison(
        plainly,
        lambda _: setting.lm.loglikelihood(requests),
        setting.repeats,
        share=lambda number: len(parts[number % PARTS]) / len(requests),
        difference=difference,
    )
    rounds = setting.repeats + 1
    asked = sum(len(pair.context) + len(pair.continuation) - 1 for pair in setting.pairs(requests))
    row = found.row(
        "likelihoods",
        f"checkpoint, {len(requests) // 2} examples of 4 tasks by likelihood",
        f"lm-eval's HFLM, batch size {size}",
        Goal(7),
        check=f"log-likelihood; {sum(same)} of {len(same)} choices the same",
        tolerance=TOLERANCE,
        details={
            "requests": len(requests),
            "tokens_asked": asked,
            "tokens_run": (setting.lm.scorer.tokens_scored - before) // rounds,
            "plain": FIFTH,
        },
    )
    return replace(row, agrees=row.agrees and all(same))


def _same_choices(part: Sequence[Instance], pairs: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each document whether both ways prefer the same label."""
    by_document: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for request, pair in zip(part, pairs, strict=True):
        by_document[request.task_name, request.doc_id].append(pair)
    return [
        max(each, key=lambda pair: pair[0]) == max(each, key=lambda pair: pair[1])
        for each in by_document.values()
    ]


def _stock(setting: Setting, requests: Sequence[Instance]) -> tuple[int, Any]:
    """Return the harness's own model at its best batch size, found on some of the requests."""
    some = list(requests[:: max(1, len(requests) // 24)])
    best: tuple[float, int] | None = None
    with quiet():
        model = HFLM(
            pretrained=setting.loaded.model,
            tokenizer=setting.loaded.tokenizer,
            batch_size=1,
            softmax_dtype="float32",
        )
        for size in (1, 4, 8) if setting.loaded.model.device.type == "cpu" else (16, 64, 256):
            model.batch_size_per_gpu = size
            seconds = timed(model.loglikelihood, some, True)[0]
            best = min(best or (seconds, size), (seconds, size))
    assert best is not None
    model.batch_size_per_gpu = best[1]
    return best[1], model


def _share(setting: Setting, names: Sequence[str]) -> list[Instance]:
    """Return the requests of some tasks: of all documents, or of some to be quick."""
    requests = setting.requests(names)
    if not setting.quick:
        return requests
    return [request for request in requests if int(request.doc_id or 0) % QUICK_SHARE == 0]


def _parts(requests: Sequence[Instance]) -> list[list[Instance]]:
    """Return equal parts of every task's requests; what asks about one document stays together."""
    documents: dict[Any, list[Instance]] = defaultdict(list)
    for request in requests:
        documents[request.task_name, request.doc_id].append(request)
    each = list(documents.values())
    return [[request for group in each[part::PARTS] for request in group] for part in range(PARTS)]


def generations(setting: Setting) -> Measurement:
    """The same checkpoint by greedy generation, against one prompt at a time."""
    requests = _share(setting, GENERATIONS)
    parts = _parts(requests)
    tokenizer, model = setting.loaded.tokenizer, setting.loaded.model
    new = int(_arguments(requests[0])[1]["max_gen_toks"])

    def plainly(number: int) -> list[str]:
        prompts = [request.args[0] for request in parts[number % PARTS]]
        return plain.generate_one_by_one(model, tokenizer, prompts, new)

    def difference(number: int, theirs: list[str], mine: list[str]) -> float:
        part = parts[number % PARTS]
        texts = {id(request): text for request, text in zip(requests, mine, strict=True)}
        return sum(
            _cut(request, text) != texts[id(request)]
            for request, text in zip(part, theirs, strict=True)
        )

    found = Comparison(
        plainly,
        lambda _: setting.lm.generate_until(requests),
        setting.repeats,
        share=lambda number: len(parts[number % PARTS]) / len(requests),
        difference=difference,
    )
    return found.row(
        "generations",
        f"checkpoint, {len(requests)} examples of 4 tasks, {new} tokens generated",
        "generate, one prompt at a time",
        Goal(7 if model.device.type == "cpu" else 20),
        check="texts that differ, in a fifth of them",
        tolerance=0,
        details={"plain": FIFTH},
    )


def _cut(request: Instance, text: str) -> str:
    """Return a text up to the first of its stop strings."""
    until = _arguments(request)[1].get("until") or []
    stops = [until] if isinstance(until, str) else until
    return text[: min((text.index(s) for s in stops if s and s in text), default=len(text))]


def _arguments(request: Instance) -> Any:
    return request.args


def one_record(setting: Setting) -> Measurement:
    """ES, PS and NS of one record, against one right-padded batch with full logits."""
    many = 2 if setting.quick else 5
    records = [
        setting.pairs(each) for each in _by_case(setting.requests(ABOUT_AN_EDIT, 1 + many * 8))
    ]
    scorer = Scorer(setting.loaded.model, max_length=2048)
    chosen = [records[at : at + many] for at in range(0, many * 8, many)]
    rows = max(len(pairs) for pairs in records)
    found = Comparison(
        lambda n: [plain.score_in_one_batch(setting.loaded.model, p) for p in chosen[n % 8]],
        lambda n: [[score[0] for score in scorer.score(pairs)] for pairs in chosen[n % 8]],
        setting.repeats,
        difference=lambda _, theirs, mine: _largest(theirs, mine),
    )
    return found.row(
        "record",
        f"ES, PS and NS of {many} records",
        f"right-padded batches of {rows} rows, full logits",
        Goal(2),
        check="log-likelihood",
        tolerance=TOLERANCE,
    )


def retention(setting: Setting) -> Measurement:
    """Retention after many edits, against scoring their whole records again."""
    edits = min(200, len(setting.cases)) if not setting.quick else 10
    wanted = setting.pairs(setting.requests(["retention"], edits))
    records = [setting.pairs(each) for each in _by_case(setting.requests(ABOUT_AN_EDIT, edits))]
    asked = {_key(pair): at for at, pair in enumerate(wanted)}
    parts = [records[part::PARTS] for part in range(PARTS)]
    scorer = Scorer(setting.loaded.model, max_length=2048)

    def difference(number: int, theirs: list[list[float]], mine: list[float]) -> float:
        return max(
            abs(value - mine[asked[_key(pair)]])
            for pairs, values in zip(parts[number % PARTS], theirs, strict=True)
            for pair, value in zip(pairs, values, strict=True)
            if _key(pair) in asked
        )

    found = Comparison(
        lambda n: [plain.score_in_one_batch(setting.loaded.model, p) for p in parts[n % PARTS]],
        lambda _: [score[0] for score in scorer.score(wanted)],
        setting.repeats,
        share=lambda number: len(parts[number % PARTS]) / edits,
        difference=difference,
    )
    return found.row(
        "retention",
        f"retention after {edits} edits",
        f"scoring {edits} whole records again",
        Goal(6),
        check="log-likelihood",
        tolerance=TOLERANCE,
        details={"plain": FIFTH},
    )


def tokens(setting: Setting) -> Measurement:
    """Tokens a second of the scorer, against the bare model on rows of the same lengths.

    The bare model runs no head and reads no target, and rows of one length make a batch: there is
    no padding. Prompts that begin alike are counted once on our side, and run whole on the other.
    """
    model = setting.loaded.model
    pairs = setting.pairs(setting.requests(["retention"], 60 if setting.quick else 300))
    scorer = Scorer(model, max_length=2048)
    scorer.score(pairs)
    distinct = scorer.tokens_scored
    size = model.config.get_text_config().vocab_size
    lengths = Counter(len(context) for context in {tuple(pair.context) for pair in pairs})
    inputs = [
        torch.randint(0, size, (min(many, rows - at), length), device=model.device)
        for length, rows in lengths.items()
        for many in [max(1, scorer.budget.size // length)]
        for at in range(0, rows, many)
    ]
    run = sum(ids.numel() for ids in inputs)

    @torch.no_grad()
    def bare(_: int) -> None:
        for ids in inputs:
            model.base_model(input_ids=ids, use_cache=False)

    found = Comparison(bare, lambda _: scorer.score(pairs), setting.repeats)
    plains = [run / seconds for seconds in found.plain]
    ours = [distinct / seconds for seconds in found.ours]
    return Measurement(
        "tokens",
        f"tokens a second, scoring {len(pairs)} targets",
        "the bare model on rows of those lengths",
        Goal(0.85),
        [mine / theirs for theirs, mine in zip(plains, ours, strict=True)],
        plains,
        ours,
        unit="tokens/s",
        details={"distinct_tokens": distinct, "bare_tokens": run},
    )


def _by_case(requests: Sequence[Instance]) -> list[list[Instance]]:
    found: dict[int, list[Instance]] = defaultdict(list)
    for request in requests:
        found[request.doc["case_id"]].append(request)
    return list(found.values())


def _key(pair: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(pair.context), tuple(pair.continuation)


def _largest(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    return max(
        abs(a - b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )
