# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: this checkout importable as ansible_collections.multinet.flannel, the
upstream executables, the commands that run beside the tests, and the account of a run's time.

A test marked `job` stands for a command (jobs.py) and waits for it. These tests come last, so that
the first command runs beside all others.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing as t

import budget
import jobs
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREE = ROOT / ".build" / "tree"


def _link_collection() -> None:
    """Make .build/tree hold ansible_collections/multinet/flannel -> this checkout, and import from
    there.
    """
    link = TREE / "ansible_collections" / "multinet" / "flannel"
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(ROOT, target_is_directory=True)
    sys.path.insert(0, str(TREE))


_link_collection()


class Run:
    """The jobs and the account of this run."""

    def __init__(self, its_jobs: list[jobs.Job]) -> None:
        began = os.environ.get("MULTINET_BEGAN")  # `make test`: before its set-up
        self.budget = budget.Budget(float(began) if began else None)
        self._jobs = jobs.Jobs(its_jobs, set_up_environment() if its_jobs else {})

    def tend(self, at_once: int) -> None:
        """Keep so many jobs running."""
        for job in self._jobs.tend(at_once):
            self.budget.add(job.name, budget.Part(job.seconds, job.cpu))

    def wait(self, job: jobs.Job) -> None:
        """Return when the job is done. Who waits leaves a processor to one more job."""
        while job.status is None:
            self.tend(at_once=2)
            time.sleep(0.2)

    def stop(self) -> list[str]:
        """End what runs and return its names."""
        return self._jobs.stop()


RUN = pytest.StashKey[Run]()
JOB = pytest.StashKey[jobs.Job]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "job(**fields of jobs.Job): runs beside the other tests")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("job") is not None)
    for item in items:
        if marker := item.get_closest_marker("job"):
            item.stash[JOB] = jobs.Job(**marker.kwargs)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    if not session.config.option.collectonly:
        # Whoever ends this run ends its jobs, as ctrl-C does.
        signal.signal(signal.SIGTERM, lambda *dummy: pytest.exit("terminated", returncode=143))
        session.config.stash[RUN] = Run(
            [item.stash[JOB] for item in session.items if JOB in item.stash]
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> t.Generator[None, object, object]:
    run = item.config.stash[RUN]
    if JOB in item.stash:
        return (yield)
    run.tend(at_once=1)
    began, cpu = time.monotonic(), budget.processor_seconds()
    result = yield
    spent = budget.Part(time.monotonic() - began, budget.processor_seconds() - cpu)
    run.budget.add(item.path.relative_to(ROOT / "tests").parts[0], spent)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> t.Generator[None, t.Any, t.Any]:
    report = yield
    if report.failed:
        job = item.stash.get(JOB, None)
        again = job.again if job else f". .build/env && python -m pytest '{item.nodeid}'"
        if hasattr(report.longrepr, "addsection"):
            report.longrepr.addsection("to repeat it alone", again)
        else:
            report.longrepr = f"{report.longrepr}\nto repeat it alone: {again}"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the jobs that run where the tests were stopped."""
    run = session.config.stash.get(RUN, None)
    ended = run.stop() if run else []
    if ended:
        print(f"\nended: {', '.join(ended)}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if RUN in config.stash:
        terminalreporter.section("time by part")
        for line in config.stash[RUN].budget.table():
            terminalreporter.write_line(line)


@pytest.fixture
def job(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> jobs.Job:
    """The job of this test, done; what it wrote has been shown."""
    its = request.node.stash[JOB]
    request.config.stash[RUN].wait(its)
    with capfd.disabled():
        print(f"\n{'=' * 20} {its.name}: {budget.clock(its.seconds)}", flush=True)
        sys.stdout.write(its.log.read_text(encoding="utf-8", errors="replace"))
    return its


def set_up_environment() -> dict[str, str]:
    """Return the environment variables with those of `make setup` (.build/env)."""
    setup = ROOT / ".build" / "env"
    if not setup.exists():
        pytest.fail("nothing is set up in this checkout: run `make setup`")
    shell = subprocess.run(
        ["bash", "-c", f". {setup} && env -0"], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(line.split("=", 1) for line in shell.stdout.rstrip("\0").split("\0"))


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment variables with those of `make setup`, for tests that start programs."""
    return set_up_environment()


@pytest.fixture(scope="session")
def upstream_mirror(environment: dict[str, str]) -> pathlib.Path:
    """The mirror directory of the upstream programs: <component>/<version>/linux-<arch>/."""
    return pathlib.Path(environment["MULTINET_MIRROR"])


@pytest.fixture(scope="session")
def upstream_bin(
    environment: dict[str, str],
    upstream_mirror: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
    """One directory with this machine's upstream executables (bridge, host-local, flannel,
    flanneld, etcd, ...).
    """
    from ansible_collections.multinet.flannel.plugins.module_utils._architectures import SUPPORTED

    architecture = SUPPORTED[os.uname().machine]
    directory = tmp_path_factory.mktemp("upstream-bin")
    for mirror in (upstream_mirror, pathlib.Path(environment["MULTINET_TEST_MIRROR"])):
        for program in mirror.glob(f"*/*/linux-{architecture}/*"):
            if program.name != "SHA256SUMS":
                (directory / program.name).symlink_to(program)
    return directory
