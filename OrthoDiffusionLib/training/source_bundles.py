"""The bundle that a training starts from, named where a training's folder could be named too."""

from __future__ import annotations

from OrthoDiffusionLib.bundles.opening import Bundle, open_bundle
from OrthoDiffusionLib.bundles.registry import MANIFEST_FILE, find_bundle, list_bundles
from OrthoDiffusionLib.errors import ErrorKind, OrthoDiffusionError


def source_bundle(source: str) -> Bundle:
    """Open a bundle.

    Args:
        source: its name or folder; no folder of a training.

    Raises:
        OrthoDiffusionError: BUNDLE_NOT_FOUND for what is neither a name nor a bundle's folder; what `open_bundle`
            raises.
    """
    try:
        folder = find_bundle(source)
    except OrthoDiffusionError as error:
        known = ", ".join(entry.name for entry in list_bundles() if entry.problem is None) or "none yet"
        raise OrthoDiffusionError(
            error.kind,
            f"“{source}” is neither a training's output folder nor a bundle.",
            f"Check the path, or choose one of the installed bundles: {known}.",
        ) from error
    try:
        (folder / MANIFEST_FILE).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OrthoDiffusionError(
            ErrorKind.BUNDLE_NOT_FOUND,
            f"“{source}” holds neither trained networks nor a bundle.",
            "Check the path; a training that was interrupted has to be finished first.",
        ) from error
    except OSError:
        # What keeps it from being read, the bundle's own error says.
        pass
    return open_bundle(folder)
