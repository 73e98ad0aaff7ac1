"""The direction of imports: who may know whom is a table, and every module is held to it.

The packages `api`, `plan` and `mirror` do not know one another, the plan is pure, only the ends
(command line, daemon, demo) read configuration, and nothing goes round in a circle.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The words that all parts share: values without behaviour, which know nothing of hisync.
VOCABULARY = ("hisync.items", "hisync.errors", "hisync.change", "hisync.comment")

NOT_PURE = {"httpx", "io", "logging", "os", "pathlib", "random", "secrets", "sqlalchemy", "time"}
NOT_PURE_CALLS = {"now", "utcnow", "today", "open", "uuid1", "uuid4", "urandom"}


@dataclass(frozen=True)
class Module:
    """One module: what it imports anywhere, and what importing it runs at once."""

    name: str
    imports: frozenset[str]
    at_once: frozenset[str]
    calls: frozenset[str]


def modules_of(root: Path) -> dict[str, Module]:
    """Every module of the package `hisync` under a folder, by its name."""
    paths = {name_of(path, root): path for path in sorted((root / "hisync").rglob("*.py"))}
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in paths.items()}
    found = {}
    for name, tree in trees.items():
        package = name if paths[name].name == "__init__.py" else name.rpartition(".")[0]
        found[name] = Module(
            name,
            frozenset(imported(ast.walk(tree), package, trees)),
            frozenset(imported(run_at_once(tree), package, trees)),
            frozenset(called(tree)),
        )
    return found


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(nodes: Iterator[ast.AST], package: str, known: Mapping[str, object]) -> Iterator[str]:
    """The modules that import statements name; `from package import module` is the module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *([node.module or ""])]).strip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in known else base


def run_at_once(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported: no function's body, nothing for type checks only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from run_at_once(child)


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name


def is_in(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def forbidden(module: str, target: str) -> bool:
    """Whether a module may not import another: the table."""
    if is_in(target, "hisync") and is_in(module, *VOCABULARY):
        return True
    for package in ("hisync.api", "hisync.plan", "hisync.mirror"):
        others = {"hisync.api", "hisync.plan", "hisync.mirror"} - {package}
        if is_in(module, package) and is_in(target, *others):
            return True
    if is_in(module, "hisync.plan"):
        top = target.partition(".")[0]
        known = is_in(target, "hisync.plan", *VOCABULARY)
        pure = top in sys.stdlib_module_names and top not in NOT_PURE
        return not (known or pure)
    if is_in(module, "hisync.sandbox") and is_in(target, "hisync"):
        return not is_in(target, "hisync.sandbox")
    if is_in(target, "hisync.sandbox"):
        return not is_in(module, "hisync.sandbox", "hisync.cli", "hisync.demo")
    if is_in(target, "hisync.config"):
        return not is_in(module, "hisync.config", "hisync.cli", "hisync.daemon", "hisync.demo")
    return False


def violations(modules: Mapping[str, Module]) -> list[str]:
    """Every import that the table forbids, and every call that makes the plan impure."""
    found = [
        f"{module.name} imports {target}"
        for module in modules.values()
        for target in sorted(module.imports)
        if forbidden(module.name, target)
    ]
    found += [
        f"{module.name} calls {call}()"
        for module in modules.values()
        if is_in(module.name, "hisync.plan")
        for call in sorted(module.calls & NOT_PURE_CALLS)
    ]
    return found


def cycle(modules: Mapping[str, Module]) -> list[str]:
    """The modules of one import cycle, empty if there is none."""
    graph = {name: module.at_once & modules.keys() - {name} for name, module in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return modules_of(ROOT)


def test_the_modules_are_seen(modules: dict[str, Module]) -> None:
    assert {"hisync", "hisync.items", "hisync.errors", "hisync.config.load"} <= modules.keys()
    assert "hisync.config.model" in modules["hisync.config.load"].imports
    assert "sqlalchemy.engine" in modules["hisync.config.checks"].imports
    assert "sqlalchemy.engine" not in modules["hisync.config.checks"].at_once
    for package in ("api", "plan", "mirror", "sandbox", "cli"):
        if list((ROOT / "hisync" / package).rglob("*.py")):
            assert any(is_in(name, f"hisync.{package}") for name in modules)


def test_imports_go_in_the_allowed_direction(modules: dict[str, Module]) -> None:
    assert violations(modules) == []


def test_nothing_is_imported_in_a_circle(modules: dict[str, Module]) -> None:
    assert cycle(modules) == []


# The rules themselves: each must catch what it is for.


def planted(folder: Path, files: Mapping[str, str]) -> dict[str, Module]:
    for name, source in files.items():
        path = folder / "hisync" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return modules_of(folder)


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("api/client.py", "from hisync.mirror import store", "hisync.api.client imports hisync.m"),
        ("mirror/rows.py", "from hisync import plan", "hisync.mirror.rows imports hisync.plan"),
        ("mirror/rows.py", "from ..plan.merge import x", "imports hisync.plan.merge"),
        ("plan/merge.py", "import hisync.api.client", "imports hisync.api.client"),
        ("plan/merge.py", "from hisync.engine import x", "imports hisync.engine"),
        ("plan/merge.py", "import time", "imports time"),
        ("plan/merge.py", "def f():\n    from os import path", "imports os"),
        ("plan/merge.py", "import sqlalchemy.orm", "imports sqlalchemy.orm"),
        ("plan/merge.py", "import datetime as d\nd.datetime.now()", "calls now()"),
        ("plan/merge.py", "open('x')", "calls open()"),
        ("sandbox/app.py", "from hisync.errors import HisyncError", "imports hisync.errors"),
        ("sandbox/app.py", "from hisync import __version__", "hisync.sandbox.app imports hisync"),
        ("engine.py", "import hisync.sandbox.app", "hisync.engine imports hisync.sandbox.app"),
        ("engine.py", "from hisync.config import Config", "hisync.engine imports hisync.config"),
        ("items.py", "from hisync import errors", "hisync.items imports hisync"),
        ("errors.py", "from . import items", "hisync.errors imports hisync"),
        ("change.py", "from hisync.items import Item", "hisync.change imports hisync.items"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, file: str, source: str, expected: str) -> None:
    package = str(Path(file).parent / "__init__.py")
    modules = planted(
        tmp_path, {"plan/__init__.py": "", package: "", "__init__.py": "", file: source}
    )
    (line,) = violations(modules)
    assert expected in line


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("plan/merge.py", "import datetime\nfrom hisync.items import Item\nfrom . import actions"),
        ("cli/main.py", "from hisync.config import Config\nfrom hisync.sandbox import app"),
        ("demo.py", "from hisync.sandbox import app\nimport hisync.config"),
        ("daemon.py", "import hisync.config"),
        ("sandbox/app.py", "import httpx\nfrom hisync.sandbox.model import x"),
        ("mirror/rows.py", "import sqlalchemy\nfrom hisync.items import Item"),
    ],
)
def test_an_allowed_import_is_not(tmp_path: Path, file: str, source: str) -> None:
    assert violations(planted(tmp_path, {"__init__.py": "", file: source})) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "a.py": "from hisync import b",
        "b.py": "import hisync.c",
        "c.py": "try:\n    from .a import x\nexcept ImportError:\n    pass",
    }
    assert set(cycle(planted(tmp_path, files))) == {"hisync.a", "hisync.b", "hisync.c"}


@pytest.mark.parametrize(
    "late",
    [
        "def f():\n    from hisync.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hisync.a import x",
    ],
)
def test_an_import_that_does_not_run_at_once_closes_no_circle(tmp_path: Path, late: str) -> None:
    files = {"__init__.py": "", "a.py": "import hisync.b", "b.py": late}
    assert cycle(planted(tmp_path, files)) == []
