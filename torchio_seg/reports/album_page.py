"""A page of slices whose masks are switched on and off; it stands beside its pictures and asks nothing of anybody."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torchio_seg.reports.slices import Color

_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px sans-serif; margin: 1.5em; color: #111 }}
table {{ border-collapse: collapse }}
th, td {{ padding: 4px 8px; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd }}
th {{ position: sticky; top: 0; background: #fff }}
label {{ margin-right: 1.2em; white-space: nowrap }}
.swatch {{ display: inline-block; width: 12px; height: 12px; margin: 0 4px }}
.picture {{ position: relative; display: inline-block; background: #000 }}
.picture img {{ display: block; width: 180px; image-rendering: pixelated }}
.picture img.mask {{ position: absolute; left: 0; top: 0; opacity: 0.5 }}
.off {{ visibility: hidden }}
</style>
<h1>{title}</h1>
<p>{switches}</p>
"""
_FOOT = """<script>
for (const box of document.querySelectorAll("input"))
  box.addEventListener("change", () => {
    for (const mask of document.querySelectorAll("img.mask"))
      if (mask.alt === box.name) mask.classList.toggle("off", !box.checked);
  });
</script>
</html>
"""


def page(table: Mapping[str, Any], colors: Mapping[str, Color]) -> str:
    """The page of a table, of which each mask has its colour."""
    title = escape(f"{table['title']}: {table['key'].rpartition('/')[2].replace('_', ' ')}")
    switches = "".join(_switch(name, color) for name, color in colors.items())
    head = "".join(f"<th>{escape(column)}</th>" for column in table["columns"])
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in table["rows"])
    return _HEAD.format(title=title, switches=switches) + f"<table>\n<tr>{head}</tr>\n{rows}</table>\n" + _FOOT


def _switch(name: str, color: Color) -> str:
    swatch = f'<span class="swatch" style="background: rgb{color}"></span>'
    return f'<label><input type="checkbox" name="{escape(name)}" checked>{swatch}{escape(name)}</label>'


def _cell(cell: Any) -> str:
    if isinstance(cell, dict):
        masks = "".join(
            f'<img class="mask" src="{each["file"]}" alt="{escape(each["name"])}">' for each in cell["overlays"]
        )
        return f'<td><span class="picture"><img src="{cell["file"]}" alt="" loading="lazy">{masks}</span></td>'
    if cell is None:
        return "<td>n/a</td>"
    return f"<td>{escape(f'{cell:.3f}' if isinstance(cell, float) else str(cell))}</td>"
