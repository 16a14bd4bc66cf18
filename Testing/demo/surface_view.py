"""The structures as surfaces in a picture, by Slicer's own segmentation and VTK.

A program of its own: without a GL library VTK ends the whole process, and the demonstration goes on without this view.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

PIXELS, BAND = 700, 48
"""Height of the views, and of the band over them."""
BACKGROUND = (0.063, 0.078, 0.094)
VIEWS = {"from the front": (0, 1, 0), "from the right": (1, 0, 0), "from behind": (0, -1, 0)}
"""Where the camera stands, as a direction in RAS from the middle of the knee."""
OPACITY = {"Patella": 0.5}
"""It hides the joint from the front."""
NOTICE_COLOR = (0.95, 0.46, 0.36)


def main() -> None:
    """Draw a `.seg.nrrd` from three sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("segmentation", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("notice", help="that stands wherever the result is shown")
    arguments = parser.parse_args()
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    actors = _surfaces(arguments.segmentation)
    if not actors:
        raise SystemExit("there is no structure to draw")
    _draw(actors, arguments.picture, arguments.notice)


def _surfaces(path: Path) -> list[Any]:
    import slicer
    import vtk

    # In the desktop, the module Segmentations does that; a segmentation takes its converters when it is made.
    converters = slicer.vtkSegmentationConverterFactory.GetInstance()
    converters.RegisterConverterRule(slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule())
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        raise SystemExit("the segmentation could not be read")
    node.CreateClosedSurfaceRepresentation()
    segmentation, actors = node.GetSegmentation(), []
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        surface = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation(segmentation.GetNthSegmentID(index), surface)
        if surface.GetNumberOfPoints() == 0:
            continue
        mapper = vtk.vtkPolyDataMapper()
        mapper.SetInputData(surface)
        mapper.ScalarVisibilityOff()
        actor = vtk.vtkActor()
        actor.SetMapper(mapper)
        actor.GetProperty().SetColor(segment.GetColor())
        actor.GetProperty().SetOpacity(OPACITY.get(segment.GetName(), 1.0))
        actors.append(actor)
    return actors


def _draw(actors: list[Any], picture: Path, notice: str) -> None:
    import vtk

    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetSize(PIXELS * len(VIEWS), PIXELS + BAND)
    # What depth peeling asks for.
    window.SetAlphaBitPlanes(True)
    window.SetMultiSamples(0)
    for index, (name, direction) in enumerate(VIEWS.items()):
        renderer = vtk.vtkRenderer()
        renderer.SetViewport(index / len(VIEWS), 0, (index + 1) / len(VIEWS), PIXELS / (PIXELS + BAND))
        renderer.SetBackground(BACKGROUND)
        renderer.SetUseDepthPeeling(True)
        renderer.SetMaximumNumberOfPeels(16)
        renderer.SetUseFXAA(True)
        for actor in actors:
            renderer.AddActor(actor)
        renderer.AddViewProp(_text(name, 22, (1, 1, 1), (16, 14)))
        window.AddRenderer(renderer)
        renderer.ResetCamera()
        camera = renderer.GetActiveCamera()
        focus = camera.GetFocalPoint()
        camera.SetPosition([f + 500 * d for f, d in zip(focus, direction, strict=True)])
        camera.SetViewUp(0, 0, 1)
        camera.SetParallelProjection(True)
        renderer.ResetCamera()
        camera.Zoom(1.25)
    band = vtk.vtkRenderer()
    band.SetViewport(0, PIXELS / (PIXELS + BAND), 1, 1)
    band.SetBackground(BACKGROUND)
    band.AddViewProp(_text(notice, 22, NOTICE_COLOR, (16, 12)))
    window.AddRenderer(band)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(picture))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()


def _text(content: str, size: int, color: tuple[float, float, float], position: tuple[int, int]) -> Any:
    import vtk

    actor = vtk.vtkTextActor()
    actor.SetInput(content)
    actor.GetTextProperty().SetFontSize(size)
    actor.GetTextProperty().SetColor(color)
    actor.SetPosition(position)
    return actor


if __name__ == "__main__":
    main()
