"""The panel's section for clinical data. Its widgets alone hold the values: nothing of them comes into the scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slicer.i18n import tr as _

from OrthoDiffusionSlicer.clinical_data import ClinicalPart
from OrthoDiffusionSlicer.clinical_words import number


class ClinicalSection:
    """Shows a model's clinical data where it reads any, all of them optional.

    Args:
        ui: the panel's widgets by their names.
        onChanged: called when the person has changed a value.
    """

    def __init__(self, ui: Any, onChanged: Callable[[], None]) -> None:
        self._ui = ui
        self._onChanged = onChanged
        self._model: str | None = None
        self._part: ClinicalPart | None = None
        self._patient: int | None = None
        self._numbers = {"age": ui.ageLineEdit, "height": ui.heightLineEdit, "weight": ui.weightLineEdit}
        self._coded = {"sex": ui.sexComboBox, "patient_type": ui.patientTypeComboBox, "event": ui.eventComboBox}
        for field in self._numbers.values():
            field.connect("textChanged(QString)", lambda _text: self._onChanged())
        ui.clinicalClearButton.connect("clicked(bool)", lambda _checked: self.clear())
        ui.clinicalCollapsibleButton.visible = False

    def showModel(self, model: str, part: ClinicalPart | None) -> None:
        """Show what a model reads; what was there for another one is forgotten, for its codes mean something else.

        Args:
            model: what the worker calls the bundle.
            part: what it reads; None hides the section.
        """
        if (model, part) == (self._model, self._part):
            return
        self._model, self._part = model, part
        self.clear()
        self._ui.clinicalCollapsibleButton.visible = part is not None
        self._ui.clinicalCodesLabel.text = part.codes if part is not None else ""
        seen = part.seen if part is not None else {}
        absent = {name: _("not known") if name in seen else _("not used") for name in (*self._numbers, *self._coded)}
        for name, field in self._numbers.items():
            field.placeholderText = absent[name]
        for name, box in self._coded.items():
            box.clear()
            box.addItem(absent[name], None)
            for code in seen.get(name, ()):
                box.addItem(str(code), code)
        for name, field in {**self._numbers, **self._coded}.items():
            field.enabled = name in seen
            field.toolTip = "" if name in seen else _("The model did not learn from it.")

    def showPatient(self, patient: int | None) -> bool:
        """Forget the values when the chosen series are of another patient than those before.

        Args:
            patient: of `patient_mark`.

        Returns:
            whether they are of another one.
        """
        before = self._patient
        if patient is None or patient == before:
            return False
        self._patient = patient
        if before is None:
            return False
        self.clear()
        return True

    @property
    def part(self) -> ClinicalPart | None:
        """What the model reads; None where it reads nothing."""
        return self._part

    def setEnabled(self, enabled: bool) -> None:
        """Whether the values can be changed."""
        self._ui.clinicalCollapsibleButton.enabled = enabled

    def offerDicom(self, offered: bool) -> None:
        """Whether there are DICOM files to fill in from."""
        button = self._ui.clinicalDicomButton
        button.enabled = offered
        button.toolTip = (
            _("Read age, height and weight, as far as the model uses them, from the DICOM files of the chosen series.")
            if offered
            else _("The chosen series did not come from DICOM.")
        )

    def values(self) -> dict[str, float | int]:
        """The values that are given, by the worker's names; nothing that cannot be, and nothing the model cannot read.

        Raises:
            ValueError: with a sentence for the person, for a number that cannot be.
        """
        seen = self._part.seen if self._part is not None else {}
        typed = {name: number(name, field.text) for name, field in self._numbers.items() if name in seen}
        chosen = {name: box.itemData(box.currentIndex) for name, box in self._coded.items() if name in seen}
        return {name: value for name, value in {**typed, **chosen}.items() if value is not None}

    def problems(self) -> list[str]:
        """Sentences on what cannot be; none repeats it."""
        problems = []
        for name, field in self._numbers.items():
            try:
                number(name, field.text)
            except ValueError as error:
                problems.append(str(error))
        return problems

    def fill(self, values: Mapping[str, float]) -> None:
        """Put numbers into their fields, to one decimal."""
        for name, value in values.items():
            self._numbers[name].text = f"{value:.1f}".removesuffix(".0")

    def clear(self) -> None:
        """Forget every value."""
        for field in self._numbers.values():
            # Setting the text also forgets what Undo would bring back; QLineEdit.clear() keeps it.
            field.text = ""
        for box in self._coded.values():
            box.currentIndex = 0

    def endRun(self) -> None:
        """Forget what a run has used, unless the person wants it kept."""
        if not self._ui.clinicalKeepCheckBox.checked:
            self.clear()
