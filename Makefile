# Everything here sets up what it needs by itself (scripts/setup.py): run as root on Debian 12 or Ubuntu 24.04.
#   make demo           three hosts, two networks, attached pods, and the proof that they are isolated
#   make test           all tests, except make scenario S=kubernetes_flannel
#   make clean          remove the hosts and networks of this checkout: the demo's, and those of all scenarios
#   make distclean      remove the cache too
# Parts of them:
#   make setup          tools, upstream programs, host image
#   make hosts          only the demo's hosts
#   make deploy         the demo's hosts, and the networks on them; DECLARATION=file for other networks than the demo's
#   make lint sanity unit integration
#   make format         correct what `make lint` can correct by itself; make hooks: git runs the checks
#   make scenario S=vlans
#   make faults             make each fault of molecule/faults; the table goes to .build/faults.md. FAULT=etcd: only those
#   make planted            each fault of tests/integration/test_planted_faults.py, and the finding that it must give
#   make leaks              classes of leak opened on two hosts, named by verify, and closed; the table goes to .build/leaks.md. LEAK=12,14: those alone
#   make scenario S=mixed_arch   amd64 hosts and an arm64 one, an emulated machine; it is built first (minutes, once)
#   make scenario S=kubernetes_arm64   a real cluster with an arm64 node
#   make scenario S=distributions   Debian 11, 12 and 13 in one cluster; their images are made first (minutes, once)
#   make scenario S=offline         a site without network access, also for its controller, from a tar
#   make scenario S=adopted      networks that were made by hand, with programs of that time, are taken over and given back
#   make scenario S=kubernetes_adopted   the same of a real cluster with kube-flannel's DaemonSet and Multus'
#   make scenario S=upgrade      from a former collection, flanneld and etcd to today's, and back; the table goes to .build/upgrade.md
#   make attacks            what hostile pods try, on two deployed hosts: each gets through without the guard, and not with it
#   make cluster S=kubernetes_etcd   a real Kubernetes cluster in three hosts, nothing of the collection on it yet
#   make bench              the meta-plugin beside Multus and the bare delegates
#   make bench-subnets      the subnet server beside plain flanneld
#   make bench-isolation    the guard beside flannel's own rules and none
#   make e2e-multus         Multus' own cases on a real cluster, beside Multus itself
#   make bench-pods         how long pods take to start on a real cluster, beside Multus
#   make conformance        Kubernetes' own tests on a real cluster; the table goes to .build/conformance.md.
#                           CONFORMANCE='etcd+nftables external flannel': those configurations;
#                           CONFORMANCE_PARTS='network dual': those parts; CONFORMANCE_FOCUS='Services.*hairpin': those tests
#   make churn              240 pods with three networks on a real cluster, in waves, while one node reboots and another is registered again: nothing is left over. CHURN=etcd+nftables: that configuration of make conformance
#   make soak               hours of kills and made-up inputs
PYTHON ?= python3
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
# The glob selects molecule/ at the top.
MOLECULE := MOLECULE_GLOB='molecule/*/molecule.yml' molecule

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@$(PYTHON) scripts/setup.py

# The collection as a user gets it: built into its archive, installed from there.
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

# What a program can correct.
format: setup
	@$(ENV) ruff check --quiet --fix-only && ruff format --quiet
	@$(ENV) python scripts/docs.py && python scripts/markdown.py --write

# From now on git has the checks run before a commit and before a push.
hooks: setup
	@$(ENV) pre-commit install --hook-type pre-commit --hook-type pre-push

sanity: setup
	@$(ENV) scripts/sanity.sh

unit: setup
	@$(ENV) $(PYTEST) tests/unit

# What tests need, too: Kubernetes, the image of its nodes, and Multus to compare with.
test-programs:
	@$(PYTHON) scripts/setup.py --tests

cluster: test-programs
	@$(ENV) $(MOLECULE) create -s $(S)

integration: test-programs
	@$(ENV) $(PYTEST) --side-by-side tests/integration

# The meta-plugin beside Multus and the bare delegates.
bench: test-programs
	@$(ENV) python benchmarks/meta_plugin.py

# Leases of four networks from one Kubernetes API: the subnet server beside plain flanneld.
bench-subnets: test-programs
	@$(ENV) python benchmarks/subnet_server.py --nodes 25 100 500 --seconds 15

# The guard beside flannel's own rules and none, from pod to pod.
bench-isolation: setup
	@$(ENV) python benchmarks/isolation.py --bridge-netfilter --flannel

# Pods with 1, 2 and 3 networks on a real cluster: the meta-plugin beside Multus.
bench-pods: install test-programs
	@$(ENV) python benchmarks/pod_start.py

# Hours: thousands of attachments with kills at random moments, a million made-up inputs.
soak: test-programs
	@$(ENV) MULTINET_SOAK_ROUNDS=5000 MULTINET_EXAMPLES=1000000 $(PYTEST) \
		tests/integration/test_meta_never_leaks.py tests/unit/plugins/module_utils/_meta/test_meta_properties.py

# Multus' own cases on a real cluster, taken over from a running Multus and given back.
e2e-multus: install test-programs
	@$(ENV) $(MOLECULE) test -s kubernetes_multus

# What is in the table of docs/conformance.md, one configuration after the other.
conformance:
	@$(PYTHON) scripts/setup.py --conformance
	@$(ENV) scripts/install.sh
	@$(ENV) python tests/conformance/conformance.py $(CONFORMANCE) \
		$(if $(CONFORMANCE_PARTS),--parts $(CONFORMANCE_PARTS)) \
		$(if $(CONFORMANCE_FOCUS),--focus '$(CONFORMANCE_FOCUS)')

churn: install test-programs
	@$(ENV) python tests/conformance/churn.py $(CHURN)

# What is in the table of docs/operations.md.
faults: install
	@$(ENV) FAULT='$(FAULT)' $(MOLECULE) test -s faults

planted: setup
	@$(ENV) PLANTED=all $(PYTEST) tests/integration/test_planted_faults.py

# What is in the table of docs/report.md.
leaks: install
	@$(ENV) LEAK='$(LEAK)' $(MOLECULE) test -s leaks

# What docs/security.md promises.
attacks: install
	@$(ENV) $(MOLECULE) test -s attacks

scenario: install $(if $(filter kubernetes_% adopted,$(S)),test-programs) $(if $(filter mixed_arch kubernetes_arm64,$(S)),arm64) $(filter distributions,$(S)) $(if $(filter adopted upgrade,$(S)),former) run-scenario

# Disks of emulated arm64 machines, and the programs of both architectures.
arm64: setup
	@$(ENV) python scripts/arm64.py build

# Images of hosts of other releases of Debian.
distributions: setup
	@$(PYTHON) scripts/setup.py --distributions

# What hosts are made from: programs, and this collection.
former: setup
	@$(ENV) python scripts/upgrade.py

run-scenario:
	@$(ENV) $(MOLECULE) test -s $(S)

remove-hosts:
	@$(ENV) $(MOLECULE) destroy -s $(S)

# The scenarios and the static checks run beside the others (tests/README.md).
test: export MULTINET_BEGAN := $(shell date +%s)
test: install test-programs
	@$(ENV) $(PYTEST) --side-by-side tests/unit tests/integration tests/scenarios tests/static

clean:
	@scripts/clean.sh

distclean: clean
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/multinet"
