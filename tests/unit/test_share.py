# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of tests that two processes share: each is run once, and one of them tells of all."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import share

ROOT = pathlib.Path(__file__).resolve().parents[2]


def report(nodeid, outcome="passed", longrepr=None):
    place = ("test_a.py", 3, "test_it")
    return pytest.TestReport(nodeid, place, {"test_it": 1}, outcome, longrepr, "call")


def test_a_file_is_taken_once(tmp_path):
    assert share.take(tmp_path, pathlib.Path("/one/test_a.py"))
    assert not share.take(tmp_path, pathlib.Path("/one/test_a.py"))
    assert share.take(tmp_path, pathlib.Path("/one/test_b.py"))


def test_what_one_process_reports_the_other_one_reads(tmp_path, pytestconfig):
    writer, reader = share.Writer(tmp_path, pytestconfig), share.Reader(tmp_path, pytestconfig)
    assert reader.reports("test_a.py::test_it") is None
    skipped = report("test_a.py::test_it[\udc80 \n]", "skipped", ("test_a.py", 3, "Skipped: why"))
    for one in (skipped, report("test_a.py::test_it", "failed", "it is wrong")):
        writer.pytest_runtest_logreport(one)
        assert reader.reports(one.nodeid) is None, "its teardown is to come"
        writer.pytest_runtest_logfinish(one.nodeid)
        (read,) = reader.reports(one.nodeid)
        assert (read.outcome, read.longrepr, read.when) == (one.outcome, one.longrepr, "call")


def test_half_a_line_is_read_later(tmp_path, pytestconfig):
    writer, reader = share.Writer(tmp_path, pytestconfig), share.Reader(tmp_path, pytestconfig)
    writer.pytest_runtest_logfinish("test_a.py::test_it")
    (written,) = tmp_path.iterdir()
    whole = written.read_bytes()
    written.write_bytes(whole[:9])
    assert reader.reports("test_a.py::test_it") is None
    written.write_bytes(whole)
    assert reader.reports("test_a.py::test_it") == []


CONFTEST = f"""
import importlib.util, pathlib, sys
sys.path.insert(0, "{ROOT}/tests")
spec = importlib.util.spec_from_file_location("shared_by_all", "{ROOT}/tests/conftest.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.ROOT = pathlib.Path(__file__).parent.parent
module.INTEGRATION = module.ROOT / "tests" / "integration"
module.set_up_environment = lambda: dict(__import__("os").environ)
module.jobs.LOGS = module.ROOT / "logs"
globals().update({{k: v for k, v in vars(module).items() if k.startswith("pytest_")}})
"""
# Each process waits in its first file until the other one is in its own.
FILE = """
import os, pathlib, warnings, pytest, waiting
there = pathlib.Path(__file__).parents[2]
@pytest.fixture(scope="module", autouse=True)
def both():
    (there / f"here-{os.getpid()}").touch()
    waiting.wait_for(lambda: len(list(there.glob("here-*"))) == 2)
def test_passes(): pass
@pytest.mark.parametrize("a", [1, 2])
def test_fails(a): warnings.warn("a warning"); assert a == 1
@pytest.mark.skip(reason="why not")
def test_skipped(): pass
"""
PASSES = "def test_passes(): pass\n"


def run_two(tmp_path, files, *options):
    """Run files of integration tests, besides a unit test, in two processes; return the output."""
    for folder in ("unit", "integration"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "conftest.py").write_text(CONFTEST)
    (tmp_path / "tests" / "unit" / "test_of_unit.py").write_text("def test_unit(): pass\n")
    for name, text in files.items():
        (tmp_path / "tests" / "integration" / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "--side-by-side", *options, "tests"]
    done = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def test_two_processes_and_one_closing_line(tmp_path):
    left = "def test_that_is_not_selected():\n    assert False\n"
    files = {"test_a": FILE, "test_b": FILE + left}
    out = run_two(tmp_path, files, "-rfEs", "-k", "not not_selected")
    assert "2 failed, 5 passed, 2 skipped, 1 deselected, 4 warnings in" in out.splitlines()[-1], out
    assert len(list(tmp_path.glob("here-*"))) == 2, out
    for name in ("test_a", "test_b"):
        assert f"FAILED tests/integration/{name}.py::test_fails[2]" in out
    assert out.count("why not") == 2 and "assert 2 == 1" in out
    assert "integration beside " in out


def test_a_second_process_that_ends_badly_after_its_tests_is_named(tmp_path):
    dies = "import atexit\nif os.environ.get('MULTINET_SECOND'): atexit.register(os._exit, 9)\n"
    passes = FILE.replace("assert a == 1", "assert a") + dies
    out = run_two(tmp_path, {"test_a": passes, "test_b": passes})
    assert "the second process of tests ended with 9" in out, out


def test_a_second_process_that_dies_is_no_success(tmp_path):
    waits = "def test_waits():\n    waiting.wait_for((there / 'dying').exists)\n"
    dies = "def test_dies():\n    (there / 'dying').touch()\n    os._exit(9)\n"
    # files are taken from both ends: the second process has the last one
    out = run_two(tmp_path, {"test_a": FILE + waits, "test_b": FILE.replace(PASSES, dies)})
    assert "ended without a report of this test" in out, out
    assert "test_b.py::test_dies" in out and "test_b.py::test_skipped" in out
    assert "5 failed, 4 passed, 1 skipped" in out.splitlines()[-1], out
