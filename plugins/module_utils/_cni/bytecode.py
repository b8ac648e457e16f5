# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The byte code of a program's modules in one file, which a start reads instead of two dozen.

The program makes it itself, of what it has imported, and adds what it imports later. A module is
kept together with those that it imports in its turn, and brings them along: Python's own machinery
is asked once for all of them. With each module's code stands what its source was then (time, size,
inode). That is compared at each start: what an upgrade or a hand has changed is compiled anew, as
Python does with files of its own.

The file: Python's version in hexadecimal and a newline; then, marshalled, this module's code, what
its own source was, and {module: (offset, length)}; from HEAD on, marshalled, the Kept of each of
those. Its first reader, which gets this module from it, is the launcher (lookup
meta_plugin_launchers).
"""

from __future__ import annotations

import gc
import marshal
import posix  # `os` is above it, and takes longer
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any

    Source = tuple[int, int, int]
    # Module, whether it is a package, what its source was, its code.
    Kept = tuple[str, bool, Source, CodeType]
    Index = dict[str, tuple[int, int]]

HEAD = 32768
_PACKAGE = "multinet"
_OWN = "multinet._cni.bytecode"
_Spec: Any = type(sys.__spec__)  # importlib.machinery has to be imported for it
_Module: Any = type(sys)


def source(path: str) -> Source | None:
    """Return what tells a file from what was there before: time in ns, size in bytes, inode; None
    for no file.
    """
    try:
        status = posix.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class Modules:
    """Finds and loads the modules of the package `multinet`, as importlib.abc has it.

    directory: holds the package; archive: a file descriptor, with its index.
    """

    def __init__(self, directory: str, archive: int = -1, index: Index | None = None) -> None:
        self.directory = directory
        self.archive = archive
        self.index: Index = index or {}
        self.fresh: dict[str, list[Kept]] = {}  # what is not in the archive
        self._loaded: list[Kept] = []
        self._compiled: set[str] = set()
        self._depth = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module, None for one of others or one that is not there."""
        if not name.startswith(_PACKAGE):
            return None
        kept = self._kept(name)
        return self._spec(name, kept.pop() if kept else None, kept)

    def create_module(self, spec: ModuleSpec) -> None:
        """Have it made as any."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code, after that of those it will import."""
        name, begin = module.__name__, len(self._loaded)
        self._depth += 1
        try:
            for kept in module.__spec__.loader_state[1]:  # type: ignore[union-attr]  # ours has one
                if kept[0] not in sys.modules:
                    self._load(kept)
            self._run(module)
        finally:
            self._depth -= 1
        together = self._loaded[begin:]
        # those that it imports are kept with it
        if not self._depth and not self._compiled.isdisjoint(kept[0] for kept in together):
            self.fresh[name] = together

    def _spec(self, name: str, kept: Kept | None, others: Sequence[Kept] = ()) -> ModuleSpec | None:
        place = f"{self.directory}/{name.replace('.', '/')}"
        is_package = kept[1] if kept else source(f"{place}/__init__.py") is not None
        file = f"{place}/__init__.py" if is_package else f"{place}.py"
        made_of = source(file)
        if made_of is None:
            return None
        code = kept[3] if kept and kept[2] == made_of else None
        state = (made_of, code), others
        spec: ModuleSpec = _Spec(name, self, origin=file, loader_state=state, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [place]
        return spec

    def _load(self, kept: Kept) -> None:
        """Do with a module what importlib would, which takes longer."""
        spec = self._spec(kept[0], kept)
        if spec is None:
            return  # its source has gone; who imports it says so
        module = _Module(spec.name)
        module.__spec__, module.__package__ = spec, spec.parent
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        sys.modules[spec.name] = module
        try:
            self._run(module)
        except BaseException:
            del sys.modules[spec.name]
            raise
        parent, _dot, child = spec.name.rpartition(".")
        setattr(sys.modules[parent], child, module)

    def _run(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        made_of, code = spec.loader_state[0]
        if code is None:
            code = compiled(spec.origin)
            self._compiled.add(spec.name)
        exec(code, module.__dict__)
        is_package = spec.submodule_search_locations is not None
        self._loaded.append((spec.name, is_package, made_of, code))

    def _kept(self, name: str) -> list[Kept]:
        """What is kept of a module: those that it imports, and itself at the end."""
        if name not in self.index:
            return []
        try:
            kept: list[Kept] = marshal.loads(self._content(name))
            return kept
        except (OSError, EOFError, TypeError, ValueError):
            return []  # it is damaged, but the sources exist

    def _content(self, name: str) -> bytes:
        offset, length = self.index[name]
        return posix.pread(self.archive, length, offset)

    def save(self, file: str) -> None:
        """Write the archive anew if there is more to be in it. What fails is left to the next
        start.
        """
        try:
            self._save(file)
        except Exception:  # whatever it is, the plugin has answered before
            pass

    def _save(self, file: str) -> None:
        if not self.fresh:
            return
        kept = {name: self._content(name) for name in self.index}
        kept.update({name: marshal.dumps(together) for name, together in self.fresh.items()})
        index: Index = {}
        body = b""
        for name, content in kept.items():
            index[name] = HEAD + len(body), len(content)
            body += content
        own = f"{self.directory}/{_OWN.replace('.', '/')}.py"
        begin = compiled(own), source(own), index
        head = b"%x\n" % sys.hexversion + marshal.dumps(begin)
        if len(head) <= HEAD:
            from . import files

            files.write(file, head.ljust(HEAD, b"\0") + body, 0o644)


def compiled(file: str) -> CodeType:
    """Return the code of a source, without docstrings and annotations, which nobody asks a plugin
    for; raise OSError, SyntaxError.
    """
    import __future__

    import ast

    with open(file, "rb") as stream:
        tree = ast.parse(stream.read(), file)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    flags = __future__.annotations.compiler_flag
    code: CodeType = compile(tree, file, "exec", flags, dont_inherit=True, optimize=2)
    return code


def use(directory: str, kept: tuple[int, Source, Index] | None = None) -> Modules:
    """Have the modules of the package `multinet` loaded from now on as Modules does it.

    kept: what is kept of them: an archive, what this module's own source was then, the archive's
    index.
    """
    own = f"{directory}/{_OWN.replace('.', '/')}.py"
    if kept and kept[1] != source(own):
        scope: dict[str, Any] = {"__name__": _OWN}
        exec(compiled(own), scope)
        modules: Modules = scope["use"](directory)
        return modules
    gc.disable()  # in a process this short it looks and looks, and finds nothing
    modules = Modules(directory, kept[0], kept[2]) if kept else Modules(directory)
    sys.meta_path.insert(0, modules)
    return modules
