"""Rows about evaluation: a downstream checkpoint, an edit's own prompts, retention, tokens."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import torch

from ...tasks.tokenization import Pair
from ..lmeval import HFLM, Instance, quiet
from ..scoring import Scorer
from . import plain
from .measure import Goal, Measurement, interleaved, timed
from .setting import ABOUT_AN_EDIT, GENERATIONS, LIKELIHOODS, Setting

TOLERANCE = 1e-4
"""Largest difference in a log-likelihood that counts as none, for each token scored."""
PARTS = 5
"""The plain way does a fifth of the work in each repetition, another one each time."""
QUICK_SHARE = 8
"""One document in so many is asked to be quick."""


def likelihoods(setting: Setting) -> Measurement:
    """A checkpoint of four few-shot tasks by likelihood, against the harness's own model."""
    requests = _share(setting, LIKELIHOODS)
    size, stock = _stock(setting, requests)
    parts = _parts(requests)
    found: dict[int, float] = {}
    differences: list[float] = []

    def plainly(number: int) -> list[tuple[float, bool]]:
        with quiet():
            return stock.loglikelihood(parts[number % PARTS], disable_tqdm=True)

    plains, ours, ratios = [], [], []
    answers: list[tuple[list[Instance], Any]] = []
    for number, (slow, theirs, fast, mine) in enumerate(
        interleaved(plainly, lambda _: setting.lm.loglikelihood(requests), setting.repeats)
    ):
        part = parts[number % PARTS]
        plains.append(slow * len(requests) / len(part))
        ours.append(fast)
        ratios.append(plains[-1] / fast)
        answers.append((part, theirs))
        found = {id(request): score[0] for request, score in zip(requests, mine, strict=True)}
        differences += [
            abs(score[0] - found[id(request)]) for request, score in zip(part, theirs, strict=True)
        ]
    same = _same_choices(answers, found)
    before = setting.lm.scorer.tokens_scored
    setting.lm.loglikelihood(requests)
    return Measurement(
        "likelihoods",
        f"checkpoint, {len(requests) // 2} examples of 4 tasks by likelihood",
        f"lm-eval's HFLM, batch size {size}",
        Goal(7),
        ratios,
        plains,
        ours,
        difference=max(differences),
        check=f"log-likelihood; {same:.0%} of choices the same",
        agrees=max(differences) <= TOLERANCE and same == 1,
        details={
            "requests": len(requests),
            "tokens_asked": sum(
                len(p.context) + len(p.continuation) - 1 for p in setting.pairs(requests)
            ),
            "tokens_run": setting.lm.scorer.tokens_scored - before,
            "plain": f"a fifth of the requests in each repetition, times {PARTS}",
        },
    )


def _same_choices(answers: Sequence[tuple[list[Instance], Any]], ours: dict[int, float]) -> float:
    """Return the share of documents whose likelier label is the same."""
    by_document: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for part, theirs in answers:
        for request, score in zip(part, theirs, strict=True):
            by_document[request.task_name, request.doc_id].append((score[0], ours[id(request)]))
    same = [
        max(range(len(each)), key=lambda at: each[at][0])
        == max(range(len(each)), key=lambda at: each[at][1])
        for each in by_document.values()
    ]
    return sum(same) / len(same)


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
    """Return the requests of some tasks: of all documents, or of every eighth to be quick."""
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
    plains, ours, ratios, same = [], [], [], []

    def plainly(number: int) -> list[str]:
        prompts = [request.args[0] for request in parts[number % PARTS]]
        return plain.generate_one_by_one(model, tokenizer, prompts, new)

    for number, (slow, theirs, fast, mine) in enumerate(
        interleaved(plainly, lambda _: setting.lm.generate_until(requests), setting.repeats)
    ):
        part = parts[number % PARTS]
        plains.append(slow * len(requests) / len(part))
        ours.append(fast)
        ratios.append(plains[-1] / fast)
        texts = {id(request): text for request, text in zip(requests, mine, strict=True)}
        for request, text in zip(part, theirs, strict=True):
            until = _arguments(request)[1].get("until") or []
            stops = [until] if isinstance(until, str) else until
            cut = min((text.index(stop) for stop in stops if stop and stop in text), default=None)
            same.append(text[:cut] == texts[id(request)])
    return Measurement(
        "generations",
        f"checkpoint, {len(requests)} examples of 4 tasks, {new} tokens generated",
        "generate, one prompt at a time",
        Goal(7 if model.device.type == "cpu" else 20),
        ratios,
        plains,
        ours,
        difference=1 - sum(same) / len(same),
        check=f"share of {len(same)} texts that differ",
        agrees=all(same),
        details={"plain": f"a fifth of the prompts in each repetition, times {PARTS}"},
    )


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
    plains, ours, difference = [], [], 0.0
    for slow, theirs, fast, mine in interleaved(
        lambda n: [plain.score_in_one_batch(setting.loaded.model, p) for p in chosen[n % 8]],
        lambda n: [[score[0] for score in scorer.score(pairs)] for pairs in chosen[n % 8]],
        setting.repeats,
    ):
        plains.append(slow / many)
        ours.append(fast / many)
        difference = max(difference, _largest(theirs, mine))
    rows = max(len(pairs) for pairs in records)
    return Measurement(
        "record",
        "ES, PS and NS of a record",
        f"a right-padded batch of {rows} rows, full logits",
        Goal(2),
        [slow / fast for slow, fast in zip(plains, ours, strict=True)],
        plains,
        ours,
        difference=difference,
        check="log-likelihood",
        agrees=difference <= TOLERANCE,
    )


def retention(setting: Setting) -> Measurement:
    """Retention after many edits, against scoring their whole records again."""
    edits = min(200, len(setting.cases)) if not setting.quick else 20
    wanted = setting.pairs(setting.requests(["retention"], edits))
    records = [setting.pairs(each) for each in _by_case(setting.requests(ABOUT_AN_EDIT, edits))]
    first = dict(zip(map(_key, wanted), range(len(wanted)), strict=False))
    parts = [records[part::PARTS] for part in range(PARTS)]
    scorer = Scorer(setting.loaded.model, max_length=2048)
    plains, ours, ratios, difference = [], [], [], 0.0
    for number, (slow, theirs, fast, mine) in enumerate(
        interleaved(
            lambda n: [plain.score_in_one_batch(setting.loaded.model, p) for p in parts[n % PARTS]],
            lambda _: [score[0] for score in scorer.score(wanted)],
            setting.repeats,
        )
    ):
        part = parts[number % PARTS]
        plains.append(slow * edits / len(part))
        ours.append(fast)
        ratios.append(plains[-1] / fast)
        for pairs, values in zip(part, theirs, strict=True):
            for pair, value in zip(pairs, values, strict=True):
                if (at := first.get(_key(pair))) is not None:
                    difference = max(difference, abs(value - mine[at]))
    return Measurement(
        "retention",
        f"retention after {edits} edits",
        f"scoring {edits} whole records again",
        Goal(6),
        ratios,
        plains,
        ours,
        difference=difference,
        check="log-likelihood",
        agrees=difference <= TOLERANCE,
        details={"plain": f"a fifth of the records in each repetition, times {PARTS}"},
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

    plains, ours = [], []
    for slow, _, fast, _ in interleaved(bare, lambda _: scorer.score(pairs), setting.repeats):
        plains.append(run / slow)
        ours.append(distinct / fast)
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
