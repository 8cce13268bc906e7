"""The house in figures: ``python -m tests.house.floorplan [ROOT]`` measures each folder by its imports.

A room is a module or a folder that lies directly in the folder measured. An arrow is one room that imports
another; imports for type checking count. A room's floor is one above the highest room that it imports; rooms
of one circle share a floor.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import networkx as nx

from tests.house.rules import Tree, check_names, read_tree, recurring_files

MEASURED = ("client", "server", "common", "common/secagg", "simulations")
Arrows: TypeAlias = Mapping[str, frozenset[str]]
"""Module by module (paths), what it imports."""


@dataclass(frozen=True)
class Figures:
    """One folder, measured.

    Attributes
    ----------
    folder : str
    loose : int
        Modules that lie directly in it.
    rooms, floors, arrows, circles : int
        Of what lies directly in it.
    files, lines : int
        Of everything below it.
    """

    folder: str
    loose: int
    rooms: int
    floors: int
    arrows: int
    circles: int
    files: int
    lines: int


def arrows_of(tree: Tree) -> Arrows:
    """What each module imports, by path."""
    return {path: frozenset(_imported(module, tree)) - {path} for path, module in tree.items()}


def _imported(module: ast.Module, tree: Tree) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (path for name in node.names if (path := _path(name.name)) in tree)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{name.name}" for name in node.names]
            yield from (path for name in (*names, node.module) if (path := _path(name)) in tree)


def _path(name: str) -> str:
    return name.replace(".", "/") + ".py"


def measure(root: Path, folder: str, tree: Tree, arrows: Arrows) -> Figures:
    """The figures of one folder."""
    inside = [path for path in tree if path.startswith(folder + "/")]
    graph = nx.DiGraph()
    graph.add_nodes_from(_room(path, folder) for path in inside)
    for path in inside:
        graph.add_edges_from(
            (_room(path, folder), _room(other, folder))
            for other in arrows[path]
            if other.startswith(folder + "/") and _room(other, folder) != _room(path, folder)
        )
    circles = [circle for circle in nx.strongly_connected_components(graph) if len(circle) > 1]
    storeys = nx.condensation(graph)
    return Figures(
        folder,
        sum(path.count("/") == folder.count("/") + 1 for path in inside),
        graph.number_of_nodes(),
        nx.dag_longest_path_length(storeys) + 1 if inside else 0,
        graph.number_of_edges(),
        len(circles),
        len(inside),
        sum((root / path).read_text(encoding="utf-8").count("\n") for path in inside),
    )


def _room(path: str, folder: str) -> str:
    return path[len(folder) + 1 :].split("/", 1)[0]


def circles_of_modules(tree: Tree, arrows: Arrows) -> list[list[str]]:
    """Modules that import each other in a circle, wherever they lie."""
    graph = nx.DiGraph((path, other) for path in tree for other in arrows[path])
    return sorted(sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1)


def declared_twice(tree: Tree) -> int:
    """How many public classes and type aliases two modules declare."""
    return sum(breach.rule.startswith("one class") for breach in check_names(tree))


def main() -> None:
    """Print a row for each measured folder, and what is counted over all of them."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    tree = read_tree(root)
    arrows = arrows_of(tree)
    print(f"{'folder':<14} loose rooms floors arrows circles files lines")
    for folder in MEASURED:
        row = measure(root, folder, tree, arrows)
        print(
            f"{row.folder:<14} {row.loose:5} {row.rooms:5} {row.floors:6} {row.arrows:6} {row.circles:7} "
            f"{row.files:5} {row.lines:5}"
        )
    for circle in circles_of_modules(tree, arrows):
        print("circle:", ", ".join(circle))
    print(f"{len(recurring_files(tree))} file names recur")
    print(f"{declared_twice(tree)} classes or aliases are declared twice")


if __name__ == "__main__":
    main()
