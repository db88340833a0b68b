"""The house rules that imports must keep, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "torchio_seg"

LAYERS = (
    ("errors", "notices", "records", "progress", "machine", "components", "config"),
    (
        *("files", "volumes", "facts", "listings", "splits", "phantoms", "download", "catalogue"),
        *("network_sizes", "levels", "soft_dice", "lock"),
    ),
    (
        *("datasets", "unet_blocks", "networks", "losses", "optimization", "metrics", "postprocessing", "targets"),
        *("weights", "tracking"),
    ),
    ("transforms", "subjects", "store"),
    (
        *("devices", "speedups", "distributed", "sampling", "averaging", "step", "timing", "memory", "checkpoint"),
        *("ensemble", "trackers"),
    ),
    ("check", "planning", "trainer", "predictor", "export", "reports"),
    ("workflows",),
    ("cli",),
)
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}

LADDERS = {
    ("records", "errors"),
    ("components", "errors"),
    ("config", "components"),
    ("config", "errors"),
    ("subjects", "transforms"),
    ("store", "subjects"),
    ("store", "transforms"),
    ("step", "devices"),
    ("step", "averaging"),
    ("step", "distributed"),
    ("timing", "step"),
    ("speedups", "devices"),
    ("levels", "network_sizes"),
    ("networks", "unet_blocks"),
    ("ensemble", "checkpoint"),
    ("phantoms", "files"),
    ("phantoms", "volumes"),
    ("download", "files"),
    ("download", "lock"),
    ("catalogue", "download"),
    ("volumes", "lock"),
    ("facts", "volumes"),
    ("facts", "files"),
    ("listings", "facts"),
    ("listings", "volumes"),
}
"""Rooms of one layer of which the first may use the second."""

ONLY_IN = {
    "torchio": {"subjects", "transforms", "sampling", "predictor", "workflows"},
    "monai": {"networks", "export"},
    "onnxruntime": {"export"},
    "wandb": {"trackers", "tracking"},
    "tensorboard": {"trackers"},
    "mlflow": {"trackers"},
    "typer": {"cli"},
    "rich": {"cli"},
    "nibabel": {"volumes"},
    "isal": {"volumes"},
    "pydicom": {"volumes", "phantoms"},
    "highdicom": {"volumes"},
    "PIL": {"reports"},
    "safetensors": {"checkpoint", "weights"},
}
NEVER_AT_START = {"torch", "torchio", "monai", "wandb", "tensorboard", "mlflow", "SimpleITK", "pydicom", "highdicom"}
LIGHT = {
    "errors",
    "notices",
    "records",
    "progress",
    "machine",
    "components",
    "config",
    "files",
    "volumes",
    "splits",
    "phantoms",
    "datasets",
}
LIGHT |= {"check", "download", "catalogue", "facts", "listings", "networks", "losses", "cli"}
LIGHT |= {"network_sizes", "levels", "soft_dice", "lock", "tracking"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_our_package(module: str) -> bool:
    """Whether what is imported from it may be modules of their own."""
    root, *rooms = module.split(".")
    return root == PACKAGE.name and PACKAGE.joinpath(*rooms).is_dir()


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, and whether that happens when the file is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, at_start: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, at_start) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                names = [f"{child.module}.{alias.name}" for alias in child.names]
                found.extend((name, at_start) for name in (names if is_our_package(child.module) else [child.module]))
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            visit(child, at_start and not inside and not typing_only)

    visit(tree, True)
    return found


FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem not in {"__init__", "__main__"}
)


def test_every_room_has_a_layer() -> None:
    assert {room_of(path) for path in FILES} - set(LAYER_OF) == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_lower_layers(path: Path) -> None:
    room = room_of(path)
    for name, _ in imports(path):
        if not name.startswith("torchio_seg."):
            continue
        other = name.split(".")[1]
        if other != room and (room, other) not in LADDERS:
            assert LAYER_OF[other] < LAYER_OF[room], f"{room} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    room = room_of(path)
    for name, at_start in imports(path):
        library = name.split(".")[0]
        assert room in ONLY_IN.get(library, {room}), f"{library} is imported in {room}"
        if at_start and room in LIGHT:
            assert library not in NEVER_AT_START, f"{room} imports {library} at its start"


def test_a_module_imported_from_its_package_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "dice_ce.py"
    file.write_text("from torchio_seg.losses import dice\nfrom torchio_seg.errors import ConfigError\n")
    assert imports(file) == [("torchio_seg.losses.dice", True), ("torchio_seg.errors", True)]


def test_siblings_inside_component_folders_do_not_import_each_other() -> None:
    for folder in ("datasets", "networks", "losses", "trackers"):
        for path in (PACKAGE / folder).glob("*.py"):
            for name, _ in imports(path):
                assert not name.startswith(f"torchio_seg.{folder}."), f"{path.name} imports {name}"


def test_nothing_read_from_disk_is_executed() -> None:
    """No unpickling, no evaluation, no unsafe YAML, no archive that writes where it likes."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "pickle.load", "pickle.loads", "yaml.unsafe_load", "os.system"}, (
                    path
                )
                assert not called.endswith("extractall"), path
                assert called != "torch.jit.load" or path.name == "torchscript.py", path  # with the user's trust
                if called == "torch.load":
                    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                    assert options.get("weights_only") == "True", path
                if called == "yaml.load":
                    assert ast.unparse(node.args[1]) == "_StrictLoader", path
