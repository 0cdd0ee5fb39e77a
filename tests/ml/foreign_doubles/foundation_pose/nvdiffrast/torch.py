"""A stand-in for nvdiffrast's rasterising context."""


class RasterizeCudaContext:
    pass
