"""A stand-in for the Slicer desktop: PySide6 in PythonQt's place, around Slicer's real MRML of the wheel slicer-core.

It holds what our module uses and no more, and is stricter than Qt: a misspelt attribute, signal or property fails.
It cannot show PythonQt's own conversions and ownership, nor the real qMRML widgets; the module's test inside Slicer
does.
"""
