"""Volumes: reading and writing, orientation, network windows and the way back to the volume's own grid."""
