# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: this checkout importable as ansible_collections.multinet.flannel, the
upstream executables, the commands that run beside the tests, and the account of a run's time.

A test marked `job` stands for a command (jobs.py) and waits for it. These tests come last, so that
the first command runs beside all others. With --side-by-side a second process runs a part of the
integration tests (share.py).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import typing as t

import budget
import jobs
import pytest
import share

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREE = ROOT / ".build" / "tree"
INTEGRATION = ROOT / "tests" / "integration"


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
    """The jobs and the account of this run, and the process that shares its tests, if there is."""

    def __init__(self, its_jobs: list[jobs.Job], second: jobs.Job | None = None) -> None:
        began = os.environ.get("MULTINET_BEGAN")  # `make test`: before its set-up
        self.budget = budget.Budget(float(began) if began else None)
        self.second = second
        its_jobs = [second, *its_jobs] if second else its_jobs
        self._jobs = jobs.Jobs(its_jobs, set_up_environment() if its_jobs else {})

    def tend(self, at_once: int | None = None) -> None:
        """Keep so many jobs running; by default as many as there may be beside a test."""
        if at_once is None:
            at_once = 2 if self.second and self.second.status is None else 1
        for job in self._jobs.tend(at_once):
            self.budget.add(job.name, budget.Part(job.seconds, job.cpu))

    def wait(self, is_over: t.Callable[[], object]) -> None:
        """Return when it is over. Who waits leaves a processor to one more job."""
        while not is_over():
            self.tend(at_once=2)
            time.sleep(0.2)

    def stop(self) -> list[str]:
        """End what runs and return its names."""
        return self._jobs.stop()


RUN = pytest.StashKey[Run]()
JOB = pytest.StashKey[jobs.Job]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--side-by-side", action="store_true", help="run integration tests in two processes"
    )
    parser.addoption("--second", metavar="DIRECTORY", help="be the second of these processes")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "job(**fields of jobs.Job): runs beside the other tests")
    if directory := config.getoption("--second"):
        os.environ["MULTINET_SECOND"] = "1"
        config.pluginmanager.register(share.Writer(pathlib.Path(directory), config))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("job") is not None)
    for item in items:
        if marker := item.get_closest_marker("job"):
            item.stash[JOB] = jobs.Job(**marker.kwargs)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if session.config.option.collectonly:
        return None
    # Whoever ends this run ends its jobs, as ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *dummy: pytest.exit("terminated", returncode=143))
    shared = share.by_file(item for item in session.items if _is_shared(item))
    if second := session.config.getoption("--second"):
        session.config.stash[RUN] = Run([])
        _run(session, _taken(pathlib.Path(second), reversed(shared), []))
        return True
    its_jobs = [item.stash[JOB] for item in session.items if JOB in item.stash]
    if len(shared) < 2 or session.testsfailed or not session.config.getoption("--side-by-side"):
        session.config.stash[RUN] = Run(its_jobs)
        return None  # pytest's own loop
    _run_with_second(session, its_jobs, shared)
    return True


def _is_shared(item: pytest.Item) -> bool:
    return INTEGRATION in item.path.parents


def _run_with_second(
    session: pytest.Session, its_jobs: list[jobs.Job], shared: list[list[pytest.Item]]
) -> None:
    """Run all tests but those of files that a second process takes; report these, too."""
    directory = tempfile.TemporaryDirectory(prefix="multinet-tests-")
    session.config.add_cleanup(directory.cleanup)
    place = pathlib.Path(directory.name)
    pytest_again = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    option = session.config.option
    selected = ("-k", option.keyword, "-m", option.markexpr)
    files = [str(items[0].path) for items in shared]
    second = jobs.Job(
        name="integration beside",
        command=(*pytest_again, "--second", directory.name, *selected, *files),
        again="make integration",
        grace=60,
    )
    run = session.config.stash[RUN] = Run(its_jobs, second)
    reader = share.Reader(place, session.config)
    run.tend()  # the second process begins with the first test
    theirs: list[pytest.Item] = []
    of_this_alone = (item for item in session.items if JOB not in item.stash)
    own = (item for item in of_this_alone if not _is_shared(item))
    _run(session, itertools.chain(own, _taken(place, shared, theirs)))
    for item in theirs:
        run.wait(lambda item=item: reader.reports(item.nodeid) or second.status is not None)
        why = f"It ended with {second.status}; see {second.log}."
        reports = reader.reports(item.nodeid) or [share.unreported(item, why)]
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        _stop_where_it_is_asked_for(session)
    _run(session, (item for item in session.items if JOB in item.stash))
    run.wait(lambda: second.status is not None)
    if second.status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        session.shouldfail = f"the second process of tests ended with {second.status}"
        raise session.Failed(session.shouldfail)


def _taken(
    directory: pathlib.Path, files: t.Iterable[list[pytest.Item]], theirs: list[pytest.Item]
) -> t.Iterator[pytest.Item]:
    """Yield the tests of files that this process has taken; add the others to `theirs`."""
    for items in files:
        if share.take(directory, items[0].path):
            yield from items
        else:
            theirs += items


def _run(session: pytest.Session, items: t.Iterator[pytest.Item]) -> None:
    """Run tests as pytest's own loop does."""
    item = next(items, None)
    while item:
        following = next(items, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        _stop_where_it_is_asked_for(session)
        item = following


def _stop_where_it_is_asked_for(session: pytest.Session) -> None:
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> t.Generator[None, object, object]:
    run = item.config.stash[RUN]
    if JOB in item.stash:
        return (yield)
    run.tend()
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
    request.config.stash[RUN].wait(lambda: its.status is not None)
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
