"""The tables under the buttons: probabilities of the findings, volumes of the structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from OrthoDiffusionSlicer.parameters import PLANES

SWATCH_PIXELS = 12
ROW_PIXELS = 24
HEADER_PIXELS = 30


def show_findings(widget: Any, result: Mapping[str, Any]) -> None:
    """Fill a QTableWidget with the findings of a result: a row each, with what each plane says as tooltip."""
    findings = result["findings"]
    _prepare(widget, [_("Finding"), _("Probability"), _("Present")], len(findings))
    for row, record in enumerate(findings):
        present = _("yes") if record["present"] else _("no")
        for column, text in ((0, record["name"]), (2, present)):
            item = _cell(text)
            item.setToolTip(_plane_text(record))
            if record["present"]:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
            widget.setItem(row, column, item)
        bar = qt.QProgressBar()
        bar.maximum = 100
        bar.value = round(100 * record["probability"])
        bar.format = f"{record['probability']:.2f}"
        bar.toolTip = _plane_text(record)
        widget.setCellWidget(row, 1, bar)


def show_structures(widget: Any, result: Mapping[str, Any]) -> None:
    """Fill a QTableWidget with the volume of each structure in each plane's own label map, in ml."""
    volumes = {series["plane"]: series["volumes_ml"] for series in result["series"] if series["volumes_ml"]}
    planes = [plane for plane in PLANES if plane in volumes]
    headers = [_("Volume (ml) in each plane"), *(plane.capitalize() for plane in planes)]
    structures = result["structures"] if planes else []
    _prepare(widget, headers, len(structures))
    for row, structure in enumerate(structures):
        item = _cell(structure["name"])
        swatch = qt.QPixmap(SWATCH_PIXELS, SWATCH_PIXELS)
        swatch.fill(qt.QColor(*structure["color"]))
        item.setIcon(qt.QIcon(swatch))
        widget.setItem(row, 0, item)
        for column, plane in enumerate(planes, start=1):
            item = _cell(f"{volumes[plane][structure['key']]:.2f}")
            item.setTextAlignment(int(qt.Qt.AlignRight | qt.Qt.AlignVCenter))
            widget.setItem(row, column, item)


def _prepare(widget: Any, headers: Sequence[str], rows: int) -> None:
    widget.setRowCount(0)
    widget.setColumnCount(len(headers))
    widget.setHorizontalHeaderLabels(list(headers))
    widget.setRowCount(rows)
    widget.verticalHeader().hide()
    widget.verticalHeader().setDefaultSectionSize(ROW_PIXELS)
    for column in range(len(headers)):
        mode = qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch
        widget.horizontalHeader().setSectionResizeMode(column, mode)
    # As high as its rows: the panel scrolls, not the table.
    widget.setFixedHeight(rows * ROW_PIXELS + HEADER_PIXELS)


def _cell(text: str) -> Any:
    item = qt.QTableWidgetItem(text)
    item.setFlags(qt.Qt.ItemIsEnabled)
    return item


def _plane_text(record: Mapping[str, Any]) -> str:
    lines = [_("{key}: called present from {threshold:.2f}").format(key=record["key"], threshold=record["threshold"])]
    for plane, probability in record["plane_probabilities"].items():
        said = _("{plane} alone: {probability:.2f}").format(plane=plane, probability=probability)
        # A fusion of the planes' features gives no plane a weight of its own.
        if (weight := record["plane_weights"].get(plane)) is not None:
            said += " " + _("(weight {weight:.2f})").format(weight=weight)
        lines.append(said)
    return "\n".join(lines)
