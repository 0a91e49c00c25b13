# What developers run. CONTRIBUTING.md says when, and how long each takes.
PYTHON = .venv/bin/python
PYTEST = $(PYTHON) -m pytest -n 2

.PHONY: setup check format fast loop web ui slow test page types openapi

setup:          ## make .venv and install everything for work on the project
	python3 -m venv .venv
	.venv/bin/pip install --quiet --editable ".[bundled,test,bench]"
	cd static && npm install --silent
	cd testkit/s3rver && npm install --silent --no-package-lock

check:          ## lint, format, types, borders between the rooms
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format:         ## write the format of Python and of the page
	.venv/bin/ruff check --fix --quiet .
	.venv/bin/ruff format --quiet .
	cd static && npm run --silent format

fast:           ## unit tests
	$(PYTEST) tests/unit

loop:           ## storage, scheduler, supervision and the service, with scripted actors
	$(PYTEST) tests/integration/storage tests/integration/scheduler tests/integration/supervision tests/integration/app

web:            ## HTTP on a real port, the command line, links and webhooks
	$(PYTEST) tests/integration/web tests/integration/cli tests/integration/integrations

ui:             ## the page in a browser
	$(PYTEST) tests/ui

slow:           ## real actors, real model, kills
	$(PYTEST) tests/integration/actors tests/e2e tests/chaos tests/fuzz tests/gpu

test:           ## everything
	$(PYTEST)

page:           ## build the page
	cd static && npm run --silent build

openapi:        ## write docs/openapi.json, and the page's types made from it
	$(PYTHON) -m whisper_service openapi > docs/openapi.json
	cd static && npm run --silent types

types: openapi
