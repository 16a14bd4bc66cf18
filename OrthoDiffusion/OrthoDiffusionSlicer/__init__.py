"""The parts of the Slicer module, one file per concern."""
