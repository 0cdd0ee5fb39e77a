"""A stand-in for hydra.utils.instantiate."""

import importlib


def instantiate(config):
    assert config.rendering_engine == "pytorch3d" and config.compile_model is False and config.workspace_dir
    module, name = config._target_.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(config)
