"""torchio-seg datasets."""

from __future__ import annotations

from torchio_seg.cli.screen import Screen


def datasets() -> None:
    """List the shipped experiments: what each trains, and where its data is looked for."""
    from torchio_seg.config.resolve import load, shipped
    from torchio_seg.workflows.cases import find_root

    rows = []
    for name, file in shipped().items():
        experiment = load(file)
        root = find_root(experiment)
        found = f"{root}" + ("" if root.is_dir() else " (not there yet)")
        first_line = file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        rows.append((name, experiment.dataset.name, experiment.network.name, found, first_line))
    Screen.shared().table(("--dataset", "layout", "network", "data", "what it is"), rows)
