"""Candidates from a mesh library: photographs and rendered views of meshes compared by image embedding."""
