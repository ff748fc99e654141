"""Imports point one way, stages never meet, and each outside library has one home: read off the code's syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("esp", "tracking", "admin_ui")

STAGES = {"compose", "audience", "render", "throttle", "deliver", "inbound"}

# A module may import from its own layer's package and from layers with a smaller number.
LAYERS: list[set[str]] = [
    {"esp.errors"},
    {"esp.model"},
    {"esp.wire"},
    {"esp.merge"},
    {"esp.verdict"},
    {"esp.events"},  # the fold over events: not a stage, for the ledger's adapter writes what it says
    {"esp.ports"},
    {f"esp.{stage}" for stage in STAGES} | {"esp.adapters"},
    {"esp.settings", "esp.log"},
    {"esp.app"},
    {"esp.flows"},
    {"esp.entry", "esp.rehearsal", "esp.wiring"},
    {"tracking"},
    {"admin_ui"},
    {"esp.cli", "esp.__main__"},
]

# Where each outside library may be named at all.
HOMES = {
    "sqlalchemy": ("esp/adapters/sql/",),
    "alembic": ("esp/adapters/sql/",),
    "asyncpg": ("esp/adapters/sql/",),
    "redis": ("esp/adapters/redis/",),
    "aiosmtpd": ("esp/entry/",),
    "dns": ("esp/adapters/resolver",),
    "typer": ("esp/cli/",),
    "rich": ("esp/cli/",),
    "mrml": ("esp/compose/",),
    "css_inline": ("esp/compose/",),
    "openpyxl": ("esp/audience/xlsx.py",),
    "argon2": ("admin_ui/", "esp/flows/accounts.py"),
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" in path.parts or "versions" in path.parts:
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, path


def layer_of(module: str) -> int | None:
    for number, members in enumerate(LAYERS):
        for member in members:
            if module == member or module.startswith(member + "."):
                return number
    return None


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # ``from esp import wiring`` names the module esp.wiring.
            if node.module in PACKAGES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def direction_faults(module: str, imported: str) -> str | None:
    """Why ``module`` may not import ``imported``, or None where it may."""
    own, other = layer_of(module), layer_of(imported)
    if own is None or other is None:
        return None
    if other > own:
        return f"{module} imports {imported}, which lies above it"
    own_part, other_part = module.split(".")[:2], imported.split(".")[:2]
    if own == other and own_part != other_part and own_part[0] == "esp" and own_part[-1] in STAGES | {"adapters"}:
        return f"{module} imports {imported}: a stage never imports another stage or an adapter"
    if other_part == ["esp", "adapters"] and module != "esp.wiring" and own_part != ["esp", "adapters"]:
        return f"{module} imports {imported}: only esp.wiring names adapters"
    if module.startswith("tracking.edge") and imported.startswith("tracking.science"):
        return f"{module} imports {imported}: the edge never imports the science"
    return None


ALL = list(modules())


def test_every_module_belongs_to_a_layer() -> None:
    lost = [name for name, _ in ALL if name != "esp" and layer_of(name) is None]
    assert lost == []


def test_imports_point_one_way() -> None:
    faults = [
        fault
        for name, path in ALL
        for imported in imports(ast.parse(path.read_text()))
        if (fault := direction_faults(name, imported))
    ]
    assert faults == []


def test_each_outside_library_has_one_home() -> None:
    faults = [
        f"{path.relative_to(ROOT)} imports {imported}"
        for _, path in ALL
        for imported in imports(ast.parse(path.read_text()))
        if (homes := HOMES.get(imported.split(".")[0]))
        and not any(str(path.relative_to(ROOT)).startswith(home) for home in homes)
    ]
    assert faults == []


def test_no_import_hides_in_a_function() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for _, path in ALL
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert faults == []


def test_every_module_says_what_it_is_in_one_sentence() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for _, path in ALL
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("esp.model.campaign", "esp.wire.tokens"),
        ("esp.render.message", "esp.compose.freeze"),
        ("esp.flows.outbound", "esp.adapters.sql.outbox"),
        ("esp.app", "tracking.jobs"),
        ("tracking.jobs", "admin_ui.app"),
        ("tracking.edge.app", "tracking.science.proportions"),
    ],
)
def test_the_rule_itself_finds_a_fault(module: str, imported: str) -> None:
    assert direction_faults(module, imported)
