"""A stand-in for the official package's root, which cannot be imported without its environment variable."""

import os

assert os.environ.get("LIDRA_SKIP_INIT"), "sam3d_objects.init is not in the repository"
