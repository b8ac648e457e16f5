# All targets install what they need (scripts/setup.py). Run them as root on Debian 12 (not tested on others).
#   make demo           three hosts, two networks, attached pods, and the proof that the networks are isolated
#   make test           all tests, except some scenarios (tests/README.md)
#   make clean          remove the hosts and networks of this checkout, both of the demo and of scenarios
#   make distclean      the same, and remove the cache
# Parts and more:
#   make setup          tools, upstream programs, image of the hosts
#   make hosts          only the demo's hosts
#   make deploy         the demo's hosts with the networks; DECLARATION=file: other networks than those of the demo
#   make lint sanity unit integration
#   make format         correct what `make lint` can correct automatically; make hooks: git runs the checks
#   make scenario S=vlans
#   make faults             cause each fault of molecule/faults and write a table to .build/faults.md. FAULT=etcd: only those faults
#   make planted            each fault of tests/integration/test_planted_faults.py, with the finding that verify must report
#   make leaks              open classes of leak on two hosts and on a cluster, check that verify reports them, close them, and write tables to .build/leaks.md and .build/leaks-kubernetes.md. LEAK=12,26: only those
#   make scenario S=mixed_arch   amd64 hosts and an emulated arm64 machine, whose image is built first (minutes, once)
#   make scenario S=kubernetes_arm64   a real cluster with an arm64 node
#   make scenario S=distributions   Debian 11, 12 and 13 in one cluster; their images are built first (minutes, once)
#   make scenario S=offline         a site without internet, also for its controller, from a tar file
#   make scenario S=adopted      networks that were made by hand with older programs are taken over, and restored by a reset
#   make scenario S=kubernetes_adopted   the same on a real cluster with the DaemonSets of kube-flannel and Multus
#   make scenario S=upgrade      upgrade from former versions of the collection, flanneld and etcd, and back; the table is in .build/upgrade.md
#   make attacks            attacks of hostile pods on two deployed hosts: each succeeds without the guard, and fails with it
#   make cluster S=kubernetes_etcd   only create the Kubernetes cluster of a scenario, without the collection
#   make bench              compare the meta-plugin with Multus and the bare delegates
#   make bench-subnets      compare the subnet server with plain flanneld
#   make bench-isolation    compare the guard with flannel's own rules and with no rules
#   make e2e-multus         the cases of Multus' own tests on a real cluster, compared with Multus
#   make bench-pods         how long pods take to start on a real cluster, compared with Multus
#   make conformance        Kubernetes' own tests on a real cluster; the table is in .build/conformance.md.
#                           CONFORMANCE='etcd+nftables external flannel': only those configurations;
#                           CONFORMANCE_PARTS='network dual': only those parts; CONFORMANCE_FOCUS='Services.*hairpin': only those tests
#   make churn              start and delete 240 pods with three networks on a real cluster, reboot one node and register another again, and check that nothing is left behind. CHURN=etcd+nftables: with that configuration of make conformance
#   make soak               hours of attachments with random kills, and of random inputs
# Debian's Python is built with optimizations that pyenv's lacks: Ansible needs an eighth less of the processor.
PYTHON ?= $(or $(wildcard /usr/bin/python3),python3)
S ?= default
CONFORMANCE ?= api
CHURN ?= api
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup test-programs cluster install hosts deploy demo test lint format hooks sanity unit \
	integration arm64 distributions former bench bench-subnets bench-isolation bench-pods e2e-multus soak conformance churn faults planted leaks attacks scenario run-scenario remove-hosts clean distclean

ENV := . .build/env &&
DEMO := ansible-playbook -i inventories/demo
PYTEST := python -m pytest
# The glob selects the scenarios in molecule/.
MOLECULE := MOLECULE_GLOB='molecule/*/molecule.yml' molecule

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@$(PYTHON) scripts/setup.py

# Build the collection's archive and install it, as a user does.
install: setup
	@$(ENV) scripts/install.sh

hosts: setup
	@$(ENV) $(DEMO) molecule/default/create.yml

deploy: install hosts
	@$(ENV) $(DEMO) multinet.flannel.site $(if $(DECLARATION),-e @$(DECLARATION))

demo: install hosts
	@$(ENV) scripts/demo.sh

# All checks, or one: make lint CHECK=mypy
lint: install
	@$(ENV) scripts/lint.sh $(CHECK)

# Correct what can be corrected automatically.
format: setup
	@$(ENV) ruff check --quiet --fix-only && ruff format --quiet
	@$(ENV) python scripts/docs.py && python scripts/markdown.py --write

# Make git run the checks before a commit and before a push.
hooks: setup
	@$(ENV) pre-commit install --hook-type pre-commit --hook-type pre-push

sanity: setup
	@$(ENV) scripts/sanity.sh

unit: setup
	@$(ENV) $(PYTEST) tests/unit

# What tests need in addition: Kubernetes, the image of its nodes, and Multus for comparison.
test-programs:
	@$(PYTHON) scripts/setup.py --tests

cluster: test-programs
	@$(ENV) $(MOLECULE) create -s $(S)

integration: test-programs
	@$(ENV) $(PYTEST) --side-by-side tests/integration

# Compare the meta-plugin with Multus and the bare delegates.
bench: test-programs
	@$(ENV) python benchmarks/meta_plugin.py

# Leases of four networks from one Kubernetes API: compare the subnet server with plain flanneld.
bench-subnets: test-programs
	@$(ENV) python benchmarks/subnet_server.py --nodes 25 100 500 --seconds 15

# Compare the guard with flannel's own rules and with no rules, from pod to pod.
bench-isolation: setup
	@$(ENV) python benchmarks/isolation.py --bridge-netfilter --flannel

# Pods with 1, 2 and 3 networks on a real cluster: compare the meta-plugin with Multus.
bench-pods: install test-programs
	@$(ENV) python benchmarks/pod_start.py

# Takes hours: thousands of attachments with kills at random moments, and a million random inputs.
soak: test-programs
	@$(ENV) MULTINET_SOAK_ROUNDS=5000 MULTINET_EXAMPLES=1000000 $(PYTEST) \
		tests/integration/test_killed_everywhere.py tests/integration/test_meta_never_leaks.py \
		tests/unit/plugins/module_utils/_meta/test_meta_properties.py

# The cases of Multus' own tests on a real cluster. A running Multus is replaced, and restored by a reset.
e2e-multus: install test-programs
	@$(ENV) $(MOLECULE) test -s kubernetes_multus

# The table of docs/conformance.md, one configuration after the other.
conformance:
	@$(PYTHON) scripts/setup.py --conformance
	@$(ENV) scripts/install.sh
	@$(ENV) python tests/conformance/conformance.py $(CONFORMANCE) \
		$(if $(CONFORMANCE_PARTS),--parts $(CONFORMANCE_PARTS)) \
		$(if $(CONFORMANCE_FOCUS),--focus '$(CONFORMANCE_FOCUS)')

churn: install test-programs
	@$(ENV) python tests/conformance/churn.py $(CHURN)

# The table of docs/operations.md.
faults: install
	@$(ENV) FAULT='$(FAULT)' $(MOLECULE) test -s faults

planted: setup
	@$(ENV) PLANTED=all $(PYTEST) tests/integration/test_planted_faults.py

# The tables of docs/report.md.
leaks: install test-programs
	@$(ENV) for one in leaks kubernetes_leaks; do LEAK='$(LEAK)' $(MOLECULE) test -s $$one; done

# The attacks of docs/security.md.
attacks: install
	@$(ENV) $(MOLECULE) test -s attacks

scenario: install $(if $(filter kubernetes_% adopted,$(S)),test-programs) $(if $(filter mixed_arch kubernetes_arm64,$(S)),arm64) $(filter distributions,$(S)) $(if $(filter adopted upgrade,$(S)),former) run-scenario

# Disks of emulated arm64 machines, and programs for both architectures.
arm64: setup
	@$(ENV) python scripts/arm64.py build

# Images of hosts with other Debian releases.
distributions: setup
	@$(PYTHON) scripts/setup.py --distributions

# Former versions of programs and of this collection.
former: setup
	@$(ENV) python scripts/upgrade.py

run-scenario:
	@$(ENV) $(MOLECULE) test -s $(S)

remove-hosts:
	@$(ENV) $(MOLECULE) destroy -s $(S)

# Scenarios and static checks run in parallel with the other tests (tests/README.md).
test: export MULTINET_BEGAN := $(shell date +%s)
test: test-programs install
	@$(ENV) $(PYTEST) --side-by-side tests/unit tests/integration tests/scenarios tests/static

clean:
	@scripts/clean.sh

distclean: clean
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/multinet"
