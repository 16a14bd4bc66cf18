"""The panel of probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qt

HEADERS = ("Finding", "Probability", "Present")


def show_findings(widget: Any, result: Mapping[str, Any]) -> None:
    """Fill a QTableWidget with the findings of a result: a row each, with what each plane says as tooltip."""
    findings = result["findings"]
    widget.setColumnCount(len(HEADERS))
    widget.setHorizontalHeaderLabels(list(HEADERS))
    widget.setRowCount(len(findings))
    for row, record in enumerate(findings):
        cells = (record["name"], f"{record['probability']:.2f}", "yes" if record["present"] else "no")
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(_plane_text(record))
            if record["present"]:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
            widget.setItem(row, column, item)
    widget.resizeColumnsToContents()


def _plane_text(record: Mapping[str, Any]) -> str:
    lines = [f"{record['key']}: called present from {record['threshold']:.2f}"]
    for plane, probability in record["plane_probabilities"].items():
        lines.append(f"{plane} alone: {probability:.2f} (weight {record['plane_weights'][plane]:.2f})")
    return "\n".join(lines)
