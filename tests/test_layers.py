"""Imports go down only: tracer -> backends -> ir, and within ir and tracer to files and rooms above. Read from the sources, not run."""
from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("ir", "backends", "tracer")
ALLOWED = {
    "ir": {"numpy", "networkx", "graphviz"},
    "backends": {"numpy", "networkx"},
    "tracer": {"numpy", "networkx", "graphviz", "optree"},
}
IR_ORDER = (
    "ir.source", "ir.errors", "ir.spec", "ir.op", "ir.constant", "ir.graph", "ir.ops", "ir.text", "ir.scanner", "ir.parse", "ir.dot",
    "ir.verify", "ir.evaluate", "ir.pattern", "ir.facts", "ir.rows", "ir.ranges", "ir.rules", "ir.rewrite", "ir.cells", "ir.support",
    "ir.known_slopes",
    "ir.gradient", "ir.place", "ir.target", "ir.passes", "ir.plan", "ir.plan_text", "ir.plan_dot", "ir.planning",
    "ir.affine", "ir.kernel", "ir.kernel_run", "ir.kernel_verify", "ir.lowering",
)
TRACER_ORDER = (
    "tracer.config", "tracer.sizes", "tracer.trees", "tracer.schedules", "tracer.optimizers", "tracer.operands",
    "tracer.captures", "tracer.numpy_api", "tracer.arrays", "tracer.tracing", "tracer.eager", "tracer.variable", "tracer.custom",
    "tracer.function", "tracer.functions", "tracer.cuda", "tracer.explain", "tracer.training", "tracer.calls", "tracer.checking",
    "tracer.compile", "tracer.grad", "tracer.train",
)
ORDERS = {"ir": IR_ORDER, "tracer": TRACER_ORDER}
FILES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
NAMES = [str(path.relative_to(ROOT)) for path in FILES]


def module_name(path: Path) -> str:
    """`ir/ops/nn.py` is ir.ops.nn, `ir/ops/__init__.py` is ir.ops."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imports(path: Path, types: bool = False) -> Iterator[tuple[str, ast.stmt]]:
    """Every module that a file imports when it runs (with `types`, also those under TYPE_CHECKING), with the statement."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse + (node.body if types else [])
        elif isinstance(node, ast.Import):
            yield from [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(path, node)
            yield from [(f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base, node) for a in node.names]
        else:
            pending += ast.iter_child_nodes(node)


def absolute(path: Path, node: ast.ImportFrom) -> str:
    package = path.relative_to(ROOT).parent.parts
    above = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join([*above, *([node.module] if node.module else [])])


def place(module: str) -> int:
    """Where a module of ir or tracer stands in the order; what is inside a folder stands where the folder does."""
    order = ORDERS[module.partition(".")[0]]
    while module not in order:
        assert "." in module, f"{module} has no place in the order"
        module = module.rpartition(".")[0]
    return order.index(module)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_go_down(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    for name, node in imports(path):
        top = name.split(".")[0]
        if top in LAYERS:
            assert LAYERS.index(top) <= LAYERS.index(layer), f"line {node.lineno}: {layer} imports {name}"
        else:
            assert top in sys.stdlib_module_names or top in ALLOWED[layer] or top == "cupy", f"line {node.lineno}: {layer} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if module_name(p) not in LAYERS], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_import_those_above(path: Path) -> None:
    module = module_name(path)
    layer = module.partition(".")[0]
    for name, node in imports(path, types=layer == "tracer") if layer in ORDERS else ():
        if name.partition(".")[0] == layer:
            assert name != layer, f"line {node.lineno}: import the file, not the package, which imports everything"
            assert place(name) <= place(module), f"line {node.lineno}: {module} imports {name}"


def test_every_file_has_its_place() -> None:
    for module in sorted(m for m in MODULES if "." in m and m.partition(".")[0] in ORDERS):
        place(module)


def test_no_cycles() -> None:
    graph = nx.DiGraph()
    for path in FILES:
        graph.add_edges_from((module_name(path), name) for name, _ in imports(path, types=True) if name in MODULES)
    assert not [c for c in nx.strongly_connected_components(graph) if len(c) > 1]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_import_inside_a_function(path: Path) -> None:
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            late = [n.lineno for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not late, f"imports at lines {late}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_are_short_and_say_their_job(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500, "split the file where its job has an 'and'"
    assert not text or ast.get_docstring(ast.parse(text)), "a file's docstring says its job"


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert not [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()]
