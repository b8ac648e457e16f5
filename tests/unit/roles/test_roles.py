# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles say of themselves in several places is the same in all of them."""

from __future__ import annotations

import ast
import importlib
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jinja2
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.multinet.flannel.plugins.lookup import library_files, unknown_variables
from ansible_collections.multinet.flannel.plugins.module_utils import _ports
from jinja2 import nodes

ROOT = pathlib.Path(__file__).resolve().parents[3]
ENVIRONMENT = jinja2.Environment()
WRITTEN = (nodes.Const, nodes.List)
SPEC = ("type", "elements", "choices", "default", "options")
KNOWN = set(unknown_variables.known())
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


def load(*place: str) -> Any:
    path = ROOT.joinpath("roles", *place)
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def settings(role: str) -> dict[str, Any]:
    """The defaults of what users set in a role."""
    return load(role, "defaults", "main.yml") or load(role, "defaults", "main", "settings.yml")


def options(role: str) -> dict[str, Any]:
    return load(role, "meta", "argument_specs.yml")["argument_specs"]["main"]["options"]


def entries(role: str) -> dict[str, dict[str, Any]]:
    return load(role, "meta", "argument_specs.yml")["argument_specs"]


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_what_the_argument_specification_says(role: str) -> None:
    defaults, specified = settings(role), options(role)
    assert not set(defaults) - set(specified), "not in meta/argument_specs.yml"
    own = {name for name in specified if name.startswith(role + "_")}
    with_default = {name for name in own if "default" in specified[name]}
    assert not with_default - set(defaults), "not in defaults/"
    for name in with_default:
        assert defaults[name] == specified[name]["default"], name


@pytest.mark.parametrize("role", ROLES)
def test_the_specification_of_a_role_is_one_that_ansible_doc_and_galaxy_can_show(role: str) -> None:
    """A default that depends on others is said at the end of the description."""
    for name, entry in entries(role).items():
        assert entry["short_description"] and entry["description"], name
        for variable, option in entry["options"].items():
            assert option["description"] and option["type"], variable
            spec = {variable: {key: option[key] for key in SPEC if key in option}}
            assert ArgumentSpecValidator(spec).validate({}).error_messages == [], variable
            default = option.get("default")
            assert not isinstance(default, str) or " " not in default, variable


def test_a_variable_that_two_roles_describe_is_the_same_in_both() -> None:
    found: dict[str, Any] = {}
    for role in ROLES:
        for entry in entries(role).values():
            for name, option in entry["options"].items():
                assert found.setdefault(name, option) == option, (role, name)


def test_a_variable_of_a_role_is_in_its_specification() -> None:
    """What is not there can be misspelt unnoticed."""
    begin = re.compile(rf"({'|'.join(ROLES)})_")
    for path in (*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")):
        for text in strings(yaml.safe_load(path.read_text())):
            read = {node.name for node in ENVIRONMENT.parse(text).find_all(nodes.Name)}
            assert {name for name in read if begin.match(name)} <= KNOWN, path


def test_ports_of_roles_are_those_of_the_programs() -> None:
    assert settings("multinet")["multinet_subnet_server_port"] == _ports.SUBNET_SERVER
    assert settings("verify")["verify_port"] == _ports.PROBE
    remote = options("subnet_server")["subnet_server_remote"]["options"]
    assert remote["port"]["default"] == _ports.SUBNET_SERVER_REMOTE


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_of_a_role_has_its_name_and_its_variables(role: str) -> None:
    """scripts/docs.py writes the table; the role that all others read has files of its own."""
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# multinet.flannel.{role}\n")
    entries = load(role, "meta", "argument_specs.yml")["argument_specs"].values()
    names = {name for entry in entries for name in entry["options"]}
    assert role == "multinet" or not [name for name in names if f"\n| `{name}` |" not in text]


def test_what_is_derived_is_not_what_users_set() -> None:
    derived = load("multinet", "defaults", "main", "derived.yml")
    assert not set(derived) & (set(settings("multinet")) | set(options("multinet")))


# What users call and we do not: a document shows it
FOR_USERS = {"report_diff": "docs/report.md"}


def test_every_filter_is_documented_and_used() -> None:
    filters = ROOT / "plugins" / "filter"
    modules = [
        importlib.import_module(f"ansible_collections.multinet.flannel.plugins.filter.{path.stem}")
        for path in filters.glob("*.py")
    ]
    names = {name for module in modules for name in module.FilterModule().filters()}
    assert names == {path.stem for path in filters.glob("*.yml")}
    texts = [
        path.read_text()
        for place in ("roles", "playbooks")
        for path in (ROOT / place).rglob("*")
        if path.suffix in (".yml", ".j2")
    ]
    unused = [
        name
        for name in sorted(names)
        if not any(re.search(rf"multinet\.flannel\.{name}\b", text) for text in texts)
    ]
    assert unused == list(FOR_USERS)
    for name, document in FOR_USERS.items():
        assert f"multinet.flannel.{name}(" in (ROOT / document).read_text()


# Whatever an inventory says


def tasks(node: Any, inherited: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every task below a part of a file of tasks, with what its blocks (or `apply`) hand down."""
    for task in node if isinstance(node, list) else []:
        applied = (task.get("ansible.builtin.include_tasks") or {}) if "block" not in task else {}
        applied = applied.get("apply", {}) if isinstance(applied, dict) else {}
        own = {**inherited, **task, **applied}
        own["vars"] = {
            **inherited.get("vars", {}),
            **task.get("vars", {}),
            **applied.get("vars", {}),
        }
        yield own
        handed = {key: own[key] for key in ("delegate_to", "vars") if key in own}
        yield from tasks(task.get("block"), handed)


@pytest.mark.parametrize("role", ROLES)
def test_what_runs_on_the_controller_is_not_as_on_hosts(role: str) -> None:
    """Its user may have no sudo, and it no Python where hosts have theirs. A keyword is weaker than
    a variable of the inventory, such as ansible_become.
    """
    for path in (ROOT / "roles" / role / "tasks").glob("*.yml"):
        for task in tasks(yaml.safe_load(path.read_text()), {}):
            if task.get("delegate_to") == "localhost":
                assert task["vars"].get("ansible_become") is False, task["name"]
                python = task["vars"].get("ansible_python_interpreter")
                assert python == "{{ ansible_playbook_python }}", task["name"]


def silent(node: Any) -> Iterator[str]:
    """The modules of tasks whose failure nobody would learn the reason of: with no_log, and without
    a rescue that tells it.
    """
    for task in node if isinstance(node, list) else []:
        if task.get("no_log"):
            yield from (name for name in task if name.count(".") == 2)
        told = [one for one in task.get("rescue", []) if "ansible.builtin.fail" in one]
        if not told:
            yield from silent(task.get("block"))


@pytest.mark.parametrize("role", ROLES)
def test_what_is_not_logged_says_why_it_fails(role: str) -> None:
    for path in (ROOT / "roles" / role / "tasks").glob("*.yml"):
        assert set(silent(yaml.safe_load(path.read_text()))) <= {"ansible.builtin.set_fact"}, path


def is_import(play: dict[str, Any]) -> bool:
    return "ansible.builtin.import_playbook" in play


@pytest.mark.parametrize(
    "path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem
)
def test_a_play_takes_no_facts_of_before(path: pathlib.Path) -> None:
    """Those of a cache may be of an address that the host no longer has."""
    plays = [play for play in yaml.safe_load(path.read_text()) if not is_import(play)]
    assert all(play["gather_facts"] is False for play in plays)


def test_a_group_that_may_be_missing_is_asked_for_by_get() -> None:
    """ansible-core 2.19.0 takes `| default` for an error, where an assert has it."""
    paths = [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").glob("*.yml")]
    found = [str(path) for path in paths if re.search(r"groups\[[^]]*\] *\|", path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    ("groups", "hosts"),
    [
        ({}, "all"),
        ({"multinet_nodes": ["n1"]}, "multinet_nodes"),
        ({"multinet_nodes": ["n1"], "multinet_etcd": ["e1"]}, "multinet_etcd"),
        ({"multinet_nodes": ["n1"], "multinet_etcd": []}, "multinet_nodes"),
        ({"multinet_etcd": []}, "all"),
    ],
)
def test_the_members_of_etcd_are_upgraded_wherever_they_are(
    groups: dict[str, list[str]], hosts: str
) -> None:
    """An empty group is as none: the first node has the member then."""
    plays = yaml.safe_load((ROOT / "playbooks" / "upgrade.yml").read_text())
    (play,) = (play for play in plays if "etcd" in play["name"])
    assert jinja2.Template(play["hosts"]).render(groups=groups).strip() == hosts


@pytest.mark.parametrize(
    "path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem
)
def test_hosts_wait_for_each_other_whatever_strategy_is_the_default(path: pathlib.Path) -> None:
    """With ANSIBLE_STRATEGY=free, each play would be refused (action play_check)."""
    plays = [play for play in yaml.safe_load(path.read_text()) if "hosts" in play]
    assert all(play.get("strategy") == "ansible.builtin.linear" for play in plays)


def test_an_upgrade_brings_each_program_its_library() -> None:
    """The directory of the former one is removed by the next upgrade but one."""
    run_it = {
        path.relative_to(ROOT / "roles").parts[0]
        for path in ROOT.glob("roles/*/templates/*.j2")
        if "multinet_library_dir" in path.read_text(encoding="utf-8")
    }
    upgraded = {
        (task.get(f"ansible.builtin.{word}_role") or {}).get("name", "").rpartition(".")[2]
        for file in (("upgrade", "tasks", "main.yml"), ("multinet", "tasks", "each_host.yml"))
        for task in tasks(load(*file), {})
        for word in ("import", "include")
    }
    assert len(run_it) >= 3 and not run_it - upgraded


def test_an_etcd_that_is_taken_back_gets_its_own_settings_before_it_runs() -> None:
    """3.4 on arm64 does not start without ETCD_UNSUPPORTED_ARCH, which 3.5 has not in its own."""
    block = next(task for task in load("upgrade", "tasks", "etcd.yml") if "rescue" in task)
    back, asked, written, run = block["rescue"][:4]
    assert back["multinet.flannel.previous_executables"]["state"] == "restored"
    assert asked["register"] in written["vars"]["multinet_etcd_version"]
    assert written["ansible.builtin.include_role"] == {
        "name": "multinet.flannel.etcd",
        "tasks_from": "settings",
    }
    assert run["ansible.builtin.systemd_service"]["state"] == "restarted"


def test_tasks_of_a_role_that_are_asked_for_are_there() -> None:
    """Ansible looks for those that are included only when it comes to them, on a host."""
    name = re.compile(r"name: multinet\.flannel\.(\w+)\n\s+tasks_from: (\w+)")
    paths = [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").glob("*.yml")]
    asked = {found for path in paths for found in name.findall(path.read_text())}
    assert ("multinet", "each_host") in asked
    there = [(role, file) for role, file in asked if load(role, "tasks", f"{file}.yml")]
    assert set(there) == asked


@pytest.mark.parametrize("role", ["cni_config", "flanneld"])
def test_a_node_has_its_networks_said_with_its_turn(role: str) -> None:
    """A takeover is host by host: with the first, all were said to have the networks."""
    texts = [path.read_text() for path in (ROOT / "roles" / role).rglob("*.yml")]
    assert any("ansible_play_batch | intersect(multinet_nodes)" in text for text in texts)
    assert not any(re.search(r"\bansible_play_hosts\b", text) for text in texts)


@pytest.mark.parametrize(
    "batch, written, seconds",
    [
        (["node1", "node2"], {"changed": False}, "3"),
        (["node2", "node3", "node1"], None, "3"),
        (["node1"], {"changed": False}, "90"),
        (["node1", "node2"], {"changed": True}, "90"),
    ],
)
def test_hosts_that_a_run_does_not_repair_have_time_for_their_leases(
    batch: list[str], written: Any, seconds: str
) -> None:
    """With --limit or serial, and where the run found an etcd that was empty or none: preflight
    could not see that hosts had lost their leases.
    """
    tasks = yaml.safe_load((ROOT / "roles" / "flanneld" / "tasks" / "main.yml").read_text())
    (ways,) = [
        task["multinet.flannel.node_repair"]
        for task in tasks
        if task.get("multinet.flannel.node_repair", {}).get("scope") == "ways"
    ]
    environment = jinja2.Environment()
    environment.filters["difference"] = lambda one, other: [x for x in one if x not in other]
    environment.tests["changed"] = lambda result: result.get("changed", False)
    known = {"__network_config_written": written} if written else {}
    shown = environment.from_string(ways["unleased_for"]).render(
        multinet_nodes=["node1", "node2"], ansible_play_batch=batch, **known
    )
    assert shown == seconds


def test_one_task_lets_no_pod_start_where_a_reset_is() -> None:
    """After the drain, or pods would find no other node; before the first thing is removed."""
    paths = sorted((ROOT / "roles" / "reset" / "tasks").glob("*.yml"))
    assert "".join(path.read_text() for path in paths).count("state: leaving") == 1
    order = [
        name.removeprefix("multinet.flannel.")
        for task in load("reset", "tasks", "networks.yml")
        for name in task
        if name.startswith("multinet.flannel.")
    ]
    assert order == [
        "kubernetes_drain",
        "kubernetes_nodes",
        "runtime_wiring",
        "node_removal",
        "kubernetes_drain",
    ]


def test_the_order_of_the_roles_stands_in_one_place() -> None:
    halves = {name: load("multinet", "tasks", f"{name}.yml") for name in ("all_hosts", "each_host")}
    assert halves["all_hosts"] and halves["each_host"][-2]["name"] == "Write the CNI configuration"
    for path in (ROOT / "playbooks" / "site.yml", ROOT / "roles" / "adopt" / "tasks" / "main.yml"):
        text = path.read_text()
        assert "tasks_from: each_host" in text and "multinet.flannel.flanneld" not in text


# The library on hosts


def imported(name: str) -> Iterator[str]:
    """The files that a file of module_utils imports at any time, by their names there."""
    path = library_files.MODULE_UTILS / name
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for found in (place, *(place / alias.name for alias in node.names)):
                if found.with_suffix(".py").is_file():
                    yield (
                        found.with_suffix(".py").relative_to(library_files.MODULE_UTILS).as_posix()
                    )


@pytest.mark.parametrize(
    "program, main",
    [
        ("meta-plugin", "_meta/plugin.py"),
        ("subnet-server", "_subnets/main.py"),
        ("token-renewal", "_tokens/renew.py"),
    ],
)
def test_a_program_has_all_that_it_imports(program: str, main: str) -> None:
    installed = {
        path.removeprefix("/lib/multinet/")
        for path in (file["path"] for file in library_files.library([program], "/lib"))
    }
    needed: set[str] = set()
    new = {main}
    while new:
        needed |= new
        new = {name for file in new for name in imported(file)} - needed
    assert not needed - installed
    packages = {name.partition("/")[0] for name in needed if "/" in name}
    assert {name.partition("/")[0] for name in installed if "/" in name} == packages


UNITS = sorted(ROOT.glob("roles/*/templates/*.service.j2"))
# It speaks with the kernel alone.
WITHOUT_NETWORK = {"multinet-isolation.service.j2"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_proxy_of_the_machine_does_not_reach_the_daemons(unit: pathlib.Path) -> None:
    found = re.findall(r"^UnsetEnvironment=(.*)$", unit.read_text(), re.MULTILINE)
    names = {name for line in found for name in line.split()}
    wanted = {f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "ALL")}
    wanted |= {name.lower() for name in wanted}
    assert names >= wanted or unit.name in WITHOUT_NETWORK


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_nobody_waits_for_ever_for_a_unit_that_waits_for_others(unit: pathlib.Path) -> None:
    """A start that ends by its own timeout begins anew, so that its job is always there."""
    text = unit.read_text()
    waits = "wait for nobody" if unit.name in WITHOUT_NETWORK else "Type=notify"
    if waits in text and ("Before=" in text or "TimeoutStartSec=infinity" in text):
        assert re.search(r"^JobRunningTimeoutSec=\d+$", text, re.MULTILINE)


def hides_the_cause(template: str) -> Iterator[str]:
    """Yield each place in a template where Ansible would tell of the wrong type of a value that
    could not be worked out, and not why: an operator's right side, or a slice, when the left one is
    a list of Ansible's, and not one that is written there.
    """
    for node in ENVIRONMENT.parse(template).find_all((nodes.Add, nodes.Mul, nodes.Slice)):
        if isinstance(node, nodes.Slice):
            ends = [end for end in (node.start, node.stop, node.step) if end is not None]
            if not all(isinstance(end, WRITTEN) for end in ends):
                yield f"line {node.lineno}: [:]"
        elif not isinstance(node.left, WRITTEN) and not isinstance(node.right, WRITTEN):
            yield f"line {node.lineno}: {node.operator}"


CONDITIONS = ("when", "until", "failed_when", "changed_when", "that")


def strings(value: Any, key: str = "") -> Iterator[str]:
    """Yield the strings in a value, at any depth; conditions as templates."""
    if isinstance(value, str):
        yield f"{{{{ {value} }}}}" if key in CONDITIONS and "{{" not in value else value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from strings(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, key)


def test_a_value_that_cannot_be_worked_out_is_told_with_its_cause() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {place} in {text}"
        for path in sorted(
            (
                *ROOT.glob("roles/**/*.yml"),
                *ROOT.glob("playbooks/*.yml"),
                *ROOT.glob("roles/**/*.j2"),
            )
        )
        for text in (
            strings(yaml.safe_load(path.read_text()))
            if path.suffix == ".yml"
            else [path.read_text()]
        )
        if "{{" in text
        for place in hides_the_cause(text)
    ]
    assert not found, "put lists together with `[a, b] | flatten(levels=1)`"


def test_hosts_have_facts_of_their_own_before_one_is_set_for_all() -> None:
    """Or with ansible-core 2.21 they share what is gathered later, and seem to be one machine."""
    tasks = yaml.safe_load(
        (ROOT / "roles/preflight/tasks/declaration.yml").read_text(encoding="utf-8")
    )
    first, second, *more = [task for task in tasks if "ansible.builtin.set_fact" in task]
    assert not more and second["run_once"]
    assert "run_once" not in first and "2.21" in first["when"]
