"""Writers of the files that viewers read: GLB and 3D Gaussian PLY."""
