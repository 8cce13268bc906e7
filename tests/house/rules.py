"""The rules of the house that no linter knows: ``python -m tests.house.rules`` lists every breach, if any.

A public class or type alias lives in one module; a public function's or constant's name recurs only where the
module says the rest; a file's name recurs only where rooms mirror each other. Functions begin with a verb.
Public attributes are described. Files and functions stay short.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

ROOMS = ("server", "client", "common", "simulations")
MIRRORED_NAMES = 20
"""How many file names may recur at most."""
FILE_LINES, FUNCTION_LINES = 450, 50

THE_MODULE_SAYS_THE_REST = frozenset(("init", "run", "start", "sign", "waive"))
"""Public functions whose name may stand in several modules: what people type, as in `rhe-client init`."""

_PARTICIPLE = re.compile(
    r"[a-z]{2,}(ed|ing)|begun|bought|bound|brought|built|chosen|cut|done|drawn|dealt|fed|found|forgotten|frozen"
    r"|given|gone|grown|heard|held|hidden|kept|known|laid|left|lost|made|met|paid|put|seen|sent|shown|sold|split|spread|taken"
    r"|told|thought|won|written|own|one|both|rest|whole"
)
_VERB = re.compile(
    r"(bed|bring|cut|embed|exceed|feed|need|proceed|put|read|seed|shed|speed|split|spread|string|succeed)s?"
)
"""What ends like a participle, or is spelled like one, and begins a function's name as a verb."""

_STATUSES = frozenset(("suppressed", "undefined"))
"""What makes a status of a result says which: `suppressed("too few patients")`."""

Tree: TypeAlias = Mapping[str, ast.Module]


@dataclass(frozen=True)
class Breach:
    """One place where the house does not keep a rule.

    Attributes
    ----------
    rule : str
        In a few words.
    where : str
        File and line, or the files.
    what : str
        The name or the number.
    """

    rule: str
    where: str
    what: str


def read_tree(root: Path) -> Tree:
    """Every shipped module below a folder, parsed, by its path."""
    return {
        str(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8"))
        for room in ROOMS
        for path in sorted((root / room).rglob("*.py"))
    }


def check_names(tree: Tree) -> Iterator[Breach]:
    """Public classes, type aliases, functions and constants that two modules declare."""
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, module in tree.items():
        for kind, name in _public_names(module):
            places[kind, name].append(path)
    for (kind, name), paths in sorted(places.items()):
        if len(paths) > 1 and not (kind == "function" and name in THE_MODULE_SAYS_THE_REST):
            yield Breach(f"one {kind}, one module", ", ".join(paths), name)


def _public_names(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in _statements(module.body):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield "class or alias", node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield "function", node.name
        for target in _targets(node):
            if re.fullmatch(r"[A-Z][A-Z0-9_]+", target):
                yield "constant", target
            elif re.fullmatch(r"[A-Z][a-z]\w*", target):
                yield "class or alias", target


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those below an `if` or `try` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])


def _targets(node: ast.stmt) -> list[str]:
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def recurring_files(tree: Tree) -> dict[str, list[str]]:
    """File names that occur in several rooms, each with its rooms."""
    rooms: dict[str, list[str]] = defaultdict(list)
    for path in tree:
        if not path.endswith("__init__.py"):
            rooms[Path(path).name].append(str(Path(path).parent))
    return {name: where for name, where in sorted(rooms.items()) if len(where) > 1}


def check_files(tree: Tree) -> Iterator[Breach]:
    """File names that recur too often, and rooms that have a file of their own name beside them."""
    recurring = recurring_files(tree)
    if len(recurring) > MIRRORED_NAMES:
        yield Breach(f"at most {MIRRORED_NAMES} file names recur", ", ".join(recurring), str(len(recurring)))
    for path in tree:
        if any(other.startswith(path.removesuffix(".py") + "/") for other in tree):
            yield Breach("no file lies loose beside its room", path, Path(path).name)


def check_functions(tree: Tree) -> Iterator[Breach]:
    """Functions that do not begin with a verb, or are too long."""
    for path, module in tree.items():
        for node in ast.walk(module):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            place = f"{path}:{node.lineno}"
            first = node.name.strip("_").split("_")[0]
            if _PARTICIPLE.fullmatch(first) and not _VERB.fullmatch(first) and not _is_noun(node):
                yield Breach("a function begins with a verb", place, node.name)
            lines = _count_lines(node)
            if lines > FUNCTION_LINES:
                yield Breach(f"a function has at most {FUNCTION_LINES} lines", place, f"{node.name} {lines}")


def _is_noun(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a name may be a noun: a property, an accessor `part_of(whole)`, or the making of a status."""
    is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    return is_property or node.name.endswith("_of") or node.name in _STATUSES


def _count_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function, without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    described = ast.get_docstring(node) is not None
    return lines - ((first.end_lineno or first.lineno) - first.lineno + 1) * described


def check_lengths(root: Path, tree: Tree) -> Iterator[Breach]:
    """Files that are too long."""
    for path in tree:
        lines = len((root / path).read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            yield Breach(f"a file has at most {FILE_LINES} lines", path, str(lines))


def check_attributes(tree: Tree) -> Iterator[Breach]:
    """Attributes of public classes that nothing describes."""
    for path, module in tree.items():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for name, line in _undescribed(node):
                    yield Breach("a public attribute is described", f"{path}:{line}", f"{node.name}.{name}")


def _undescribed(node: ast.ClassDef) -> Iterator[tuple[str, int]]:
    described = set(_described_attributes(ast.get_docstring(node) or ""))
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        name = field.target.id
        beneath = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        hidden = name.startswith("_") or "ClassVar" in ast.unparse(field.annotation)
        if not hidden and name not in described and not beneath:
            yield name, field.lineno


def _described_attributes(docstring: str) -> Iterator[str]:
    """The names in the section Attributes that an indented text follows."""
    _, _, section = docstring.partition("Attributes\n----------\n")
    lines = re.split(r"\n\w+\n-{3,}", f"\n{section}")[0].splitlines()
    for line, after in pairwise([*lines, ""]):
        names = re.match(r"(\w[\w, ]*?)\s*:", line)
        if names and after.startswith("    "):
            yield from (name.strip() for name in names.group(1).split(","))


def breaches(root: Path) -> list[Breach]:
    """Every breach of a rule in the shipped code below a folder."""
    tree = read_tree(root)
    checks: Iterable[Iterator[Breach]] = (
        check_names(tree),
        check_files(tree),
        check_functions(tree),
        check_lengths(root, tree),
        check_attributes(tree),
    )
    return [breach for check in checks for breach in check]


def main() -> int:
    """Print the mirrored file names and every breach; 1 if there is one."""
    root = Path(__file__).parents[2]
    mirrored = recurring_files(read_tree(root))
    print(f"{len(mirrored)} file names recur in rooms that mirror each other (at most {MIRRORED_NAMES}):")
    for name, rooms in mirrored.items():
        print(f"  {name:<22} {', '.join(rooms)}")
    broken = breaches(root)
    for breach in broken:
        print(f"{breach.where}: {breach.what} ({breach.rule})")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
