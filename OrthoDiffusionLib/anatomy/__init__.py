"""Anatomy: joints, planes, structures and findings, one vocabulary for all rooms."""

from OrthoDiffusionLib.anatomy.joints import Joint, joint_names, load_joint
from OrthoDiffusionLib.anatomy.planes import Plane
from OrthoDiffusionLib.anatomy.structures import Code, Finding, Structure, Terminology

__all__ = ["Code", "Finding", "Joint", "Plane", "Structure", "Terminology", "joint_names", "load_joint"]
