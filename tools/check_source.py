"""Check the rules of CONTRIBUTING.md that no linter knows; `make check` runs it.

Each rule is one generator of findings. Exceptions stand in allowed.toml, each with its reason; an
exception that nothing needs any more is a finding too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MODULE_LINES = 600
FUNCTION_LINES = 60
ALLOWED = "tools/allowed.toml"
EMPTY_NAMES = frozenset({"common", "helper", "helpers", "manager", "misc", "util", "utils"})
BROAD = frozenset({"BaseException", "BaseExceptionGroup", "Exception", "ExceptionGroup"})

# Written so that no pattern finds itself here.
ADDRESS = re.compile(
    r"(?:--|_)index[-_]url|https?://[^ \"]*/simple\b|\"resolved\": *\"http"
    r"|https?://[^ \"]+\.(?:whl|tgz|deb)\b|(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com)\b"
)
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|home/(?!USER\b|\{)\w+|work|Users/\w+)/")

# What these folders may import besides the standard library and themselves: they start within
# milliseconds, or run inside the environment of a model whose pins are not ours.
LIGHT_FOLDERS: dict[str, set[str]] = {
    "src/plinth/kit/": {"plinth"},
    "src/plinth/units/": {"plinth"},
    "src/plinth/runtimes/requestrunner/": set(),
    "src/plinth/runtimes/notebookhost/": {
        *("jupyter_client", "jupyter_server", "jupyterlab", "jupyterlab_server"),
        *("marimo", "psutil", "tornado", "uvicorn"),
    },
    "src/plinth/runtimes/batchrunner/": {"numpy", "onnx", "pyarrow", "skl2onnx", "sklearn"},
    "src/plinth/runtimes/v2server/": {"mlflow", "numpy", "onnxruntime", "pandas", "uvicorn"},
    "src/plinth/runtimes/llmserver/": {"numpy", "openvino", "openvino_genai", "uvicorn"},
    "src/plinth/tracking/inside/": {"mlflow"},
}

# Rooms in which every module has its own test module. A room joins when that holds; the others are
# tested through their neighbours and only counted.
MIRRORED = frozenset(
    {
        *("access", "api", "catalog", "cli", "client", "control"),
        *("domain", "kit", "metering", "planning", "store", "upkeep"),
    }
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = ast.expr | ast.stmt | ast.excepthandler


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A broken rule: where, which, the fact, and what to do. `name`: the function it is in."""

    path: str
    line: int
    rule: str
    fact: str
    hint: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.fact}\n    hint: {self.hint}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """One exception of allowed.toml.

    `path`: a file, or a folder that ends with `/`. `name`: a function's dotted name, or empty for
    the whole file.
    """

    rule: str
    path: str
    name: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Say whether this exception is about `finding`."""
        if self.path.endswith("/"):
            here = finding.path.startswith(self.path)
        else:
            here = finding.path == self.path
        return here and self.rule == finding.rule and self.name in ("", finding.name)


def check_names(path: str) -> Iterator[Finding]:
    """Find modules and folders whose name says nothing about what is in them."""
    parts = PurePosixPath(path).with_suffix("").parts
    for word in sorted({word for part in parts for word in part.split("_")} & EMPTY_NAMES):
        hint = "name it after the thing it holds, in the words of ARCHITECTURE.md"
        yield Finding(path, 1, "empty-name", f"`{word}` says nothing about the content", hint)


def check_module(path: str, source: str) -> Iterator[Finding]:
    """Find what is too long, imported too late or caught too broadly in one module."""
    lines = source.count("\n")
    if lines > MODULE_LINES:
        fact = f"{lines} lines; {MODULE_LINES} are allowed"
        yield Finding(path, 1, "long-module", fact, "split it by idea: one noun for each module")
    for node, name in walk_named(ast.parse(source, path), ""):
        if isinstance(node, Function):
            yield from check_function(path, node, name)
        elif isinstance(node, ast.Import | ast.ImportFrom) and name:
            hint = f"move it to the top; an optional heavy dependency may stand in {ALLOWED}"
            fact = f"an import inside `{name}`"
            yield Finding(path, node.lineno, "inner-import", fact, hint, name)
        if is_broad(node):
            hint = f"name the errors you expect; a process's edge may stand in {ALLOWED}"
            fact = "catches every error, also those nobody thought of"
            yield Finding(path, node.lineno, "broad-except", fact, hint, name)


def check_imports(path: str, source: str) -> Iterator[Finding]:
    """Find imports that the light folders must do without."""
    allowed = [names for folder, names in LIGHT_FOLDERS.items() if path.startswith(folder)]
    if not allowed:
        return
    for node in ast.walk(ast.parse(source, path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for root in {name.partition(".")[0] for name in names} - allowed[0]:
            if root not in sys.stdlib_module_names and isinstance(node, ast.stmt):
                hint = "do without, or move the module: LIGHT_FOLDERS in tools/check_source.py"
                yield Finding(path, node.lineno, "heavy-import", f"imports `{root}`", hint)


def check_function(path: str, node: Function, name: str) -> Iterator[Finding]:
    """Find a function that is too long to be read at once."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > FUNCTION_LINES:
        fact = f"`{name}` has {lines} lines; {FUNCTION_LINES} are allowed"
        hint = "decide in a pure function, act in a thin one; or split it by step"
        yield Finding(path, node.lineno, "long-function", fact, hint, name)


def walk_named(tree: ast.AST, name: str) -> Iterator[tuple[Node, str]]:
    """Yield every node below `tree` with the dotted name of the function or method around it."""
    for node in ast.iter_child_nodes(tree):
        inner = name
        if isinstance(node, Function):
            inner = f"{name}.{node.name}".lstrip(".")
        if isinstance(node, Node):
            yield node, inner
        if isinstance(node, ast.ClassDef):
            for child, below in walk_named(node, ""):
                yield child, f"{name}.{node.name}.{below}".lstrip(".") if below else name
        else:
            yield from walk_named(node, inner)


def is_broad(node: ast.AST) -> bool:
    """Say whether `node` catches every error: an except clause or a `suppress(...)`."""
    if isinstance(node, ast.ExceptHandler):
        return node.type is None or bool(BROAD & set(error_names([node.type])))
    if isinstance(node, ast.Call) and "suppress" in error_names([node.func]):
        return bool(BROAD & set(error_names(node.args)))
    return False


def error_names(nodes: Iterable[ast.expr]) -> Iterator[str]:
    """Yield the last word of each name in `nodes`, also of those in tuples."""
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Tuple):
            yield from error_names(node.elts)


def check_text(path: str, text: str) -> Iterator[Finding]:
    """Find what is true on one machine only: registries' addresses, folders of a person."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := ADDRESS.search(line):
            hint = "remove it: each machine's own configuration names its registries"
            yield Finding(path, number, "registry-address", f"`{found[0]}`", hint)
        if found := MACHINE_PATH.search(line):
            hint = "use a path below the repository, PLINTH_HOME or a temporary folder"
            yield Finding(path, number, "machine-path", f"`{found[0]}`", hint)


def check_mirror(paths: Iterable[str]) -> Iterator[Finding]:
    """Find modules of a room whose `tests/<room>` has no test module named after them."""
    known = {PurePosixPath(path) for path in paths}
    tested = {(path.parts[1], path.stem) for path in known if path.parts[0] == "tests"}
    for path in sorted(known):
        if path.parts[:2] != ("src", "plinth") or path.suffix != ".py" or path.stem[:2] == "__":
            continue
        test = f"test_{path.stem.strip('_')}"
        # A module beside the rooms has its test beside the rooms' folders.
        room = path.parts[2] if len(path.parts) > 3 else f"{test}.py"
        if (room, test) not in tested:
            hint = f"write it, or say in {ALLOWED} which test covers the module"
            fact = f"no `{test}.py` in tests/{room.removesuffix(f'{test}.py')}"
            yield Finding(str(path), 1, "untested-module", fact, hint)


def read_allowances(text: str) -> list[Allowance]:
    """Return the exceptions in allowed.toml's `text`. Raises KeyError when a reason is missing."""
    return [
        Allowance(rule, entry["path"], entry.get("name", ""), entry["reason"])
        for rule, entries in tomllib.loads(text).items()
        for entry in entries
    ]


def apply_allowances(
    findings: Iterable[Finding], allowances: Iterable[Allowance]
) -> Iterator[Finding]:
    """Yield the findings no exception covers, and a finding for each exception nobody needs."""
    unused = dict.fromkeys(allowances)
    listed = list(unused)
    for finding in findings:
        covering = [allowance for allowance in listed if allowance.covers(finding)]
        if not covering:
            yield finding
        for allowance in covering:
            unused.pop(allowance, None)
    for allowance in unused:
        fact = f"{allowance.rule} of {allowance.path} {allowance.name}".rstrip()
        yield Finding(ALLOWED, 1, "unneeded-exception", fact, "remove the entry: nothing needs it")


def list_files(root: Path) -> list[str]:
    """Return the paths of what git tracks below `root`, and of what it would if it were added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout
    return sorted(path for path in listed.decode().split("\0") if (root / path).is_file())


def check_tree(root: Path) -> Iterator[Finding]:
    """Find every broken rule of the files below `root`, exceptions not yet applied."""
    paths = list_files(root)
    yield from check_mirror(paths)
    for path in paths:
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # A picture or an archive has no lines to check.
        yield from check_text(path, text)
        if path.endswith(".py"):
            yield from check_names(path)
            yield from check_module(path, text)
            yield from check_imports(path, text)


def main() -> int:
    """Print every finding; return 1 when there is one."""
    root = Path(__file__).resolve().parent.parent
    allowances = read_allowances((root / ALLOWED).read_text(encoding="utf-8"))
    found = sorted(apply_allowances(check_tree(root), allowances))
    notes = [finding for finding in found if is_note(finding)]
    findings = [finding for finding in found if not is_note(finding)]
    shown = found if "--all" in sys.argv else findings
    print(*shown, f"{len(findings)} findings", sep="\n")
    print(f"{len(notes)} modules have no test module of their own yet (`--all` lists them)")
    return 1 if findings else 0


def is_note(finding: Finding) -> bool:
    """Say whether `finding` is only counted: a missing test module outside the mirrored rooms."""
    return finding.rule == "untested-module" and finding.path.split("/")[2] not in MIRRORED


if __name__ == "__main__":
    sys.exit(main())
