# Candid8's commands; `make help` lists them. Everything happens in .venv and .candid8, nothing else is touched.
SHELL := /bin/sh
BOOTSTRAP := sh workers/stack/bootstrap.sh
RUN := $(BOOTSTRAP) python
COMPILE := .venv/bin/uv pip compile pyproject.toml -q --universal --python-version 3.11 --generate-hashes \
  --no-header --no-emit-index-url

# For commands that read the settings and no service: the values only have to be there.
NO_SERVICES := SECRET_KEY=none DATABASE_URL=postgresql:///none REDIS_URL=redis://none:6379/0 \
  S3_ENDPOINT_URL=http://none S3_ACCESS_KEY_ID=none S3_SECRET_ACCESS_KEY=none DJANGO_SETTINGS_MODULE=engine.settings.dev

.DEFAULT_GOAL := help
.PHONY: help up stop install test check fmt generate lock bench model flywheel clean

help: ## show these lines
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

up: ## install what is missing, start everything, print the address (PORT=8000 HOST=127.0.0.1)
	@$(RUN) -m workers.stack up

stop: ## stop the stack that `make up` started in another terminal
	@$(RUN) -m workers.stack stop

install: ## make .venv from the lock (CANDID8_TORCH=cpu|cuda) and build the front end
	@$(RUN) -m workers.stack frontend

test: install ## prove the product: real services, real browser, front-end units
	@$(RUN) -m pytest -n auto --maxprocesses 4 --dist loadgroup

check: install ## format, lint, types, import contracts, migrations, generated files
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(NO_SERVICES) $(RUN) -m mypy
	@$(BOOTSTRAP) lint-imports
	@$(RUN) -m pytest -q tests/architecture

fmt: ## format and sort imports
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix --select I .

generate: install ## write the OpenAPI snapshot, the TypeScript types and the compiled texts anew
	@$(NO_SERVICES) $(RUN) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
	@$(NO_SERVICES) $(RUN) manage.py write_event_types
	@$(NO_SERVICES) $(RUN) manage.py compile_texts
	@$(RUN) -m workers.stack types

lock: install ## write the locks anew from pyproject.toml, keeping versions that still fit
	@$(COMPILE) --extra ml --extra pointcloud --extra embedded --extra dev -o requirements.lock
	@$(COMPILE) -c requirements.lock --no-annotate -o requirements-server.lock
	@$(COMPILE) -c requirements.lock --no-annotate --extra ml --extra pointcloud -o requirements-worker.lock

bench: install ## measure the budgets of docs and print them
	@$(RUN) -m benchmarks

model: install ## make the shipped model from nothing (hours; goes on where it was stopped; WORK=.candid8/model)
	@$(RUN) -m training.cli model --work $(or $(WORK),.candid8/model) --checkpoint $(or $(WORK),.candid8/model)/tiny

flywheel: install ## simulated people turn five rounds at a stack of their own; writes docs/reports/flywheel.* (long; goes on where it stopped)
	@$(RUN) -m workers.flywheel $(ARGS)

clean: ## remove what is built or installed; data in .candid8 stays
	rm -rf .venv .venv.new frontend/node_modules frontend/static/candid8 .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
