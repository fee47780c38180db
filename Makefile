# Needs Python >= 3.11 and make, nothing else. Another interpreter: make test PYTHON=/path/to/python3.12

PYTHON  ?=
DATASET ?= moons
JOBS    ?= 2
ARGS    ?=
MINUTES ?= 4
STORY    = "Once upon a time there was a little <mask> who lived in the <mask> ."
ASKED    = "Emma went to the office . Ruth and John walked to the garden . Emma moved to the attic . John ran to the cellar . Where is Emma ? <mask>"

BIN   := .venv/bin
SETUP := PYTHON="$(PYTHON)" sh scripts/setup.sh

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs clean
.NOTPARALLEL:

help: ## list the targets
	@echo "usage: make TARGET [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-6s %s\n", $$1, $$2 }' Makefile

demo: ## install what is needed, fill a sentence, draw points [DATASET=moons], train a language model and ask it
	@$(SETUP) lm
	@echo "==> 1 of 3: a sentence, filled by the model in the package"
	@echo '    yanlm generate $(STORY)'
	@$(BIN)/yanlm generate $(STORY)
	@echo "==> 2 of 3: points: three methods learn a set; of their distances to it the lowest wins"
	@echo "    moefm toy --dataset $(DATASET)"
	@$(BIN)/moefm toy --dataset "$(DATASET)" $(ARGS)
	@rm -rf runs/demo
	@echo "==> 3 of 3: a language model, trained for $(MINUTES) minutes on stories about rooms, answers a question"
	@echo "    yanlm train --config scripts/demo.toml --minutes $(MINUTES) --out runs/demo"
	@$(BIN)/yanlm train --config scripts/demo.toml --minutes $(MINUTES) --out runs/demo
	@echo '    yanlm generate --model runs/demo $(ASKED)'
	@$(BIN)/yanlm generate --model runs/demo $(ASKED)
	@echo "==> Mask what you like: yanlm generate --model runs/demo --length 1 'Emma <mask> to the attic . Where is <mask> ? attic'"

test: lint ## install what is needed, then lint, type-check and run all tests [ARGS='-k losses'] [JOBS=2]
	@echo "==> pytest"
	@HF_HUB_OFFLINE=1 MPLBACKEND=Agg OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: ## ruff and mypy only
	@$(SETUP) dev
	@echo "==> ruff check"
	@$(BIN)/ruff check
	@echo "==> mypy"
	@$(BIN)/mypy

docs: ## build the site into site/
	@$(SETUP) docs
	@echo "==> mkdocs build"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove .venv, caches and built files (runs/ stays)
	rm -rf .venv dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
