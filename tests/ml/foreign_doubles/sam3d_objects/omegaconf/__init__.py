"""A stand-in for the two calls of omegaconf that the port uses."""

from pathlib import Path

import yaml


class DictConfig:
    def __init__(self, values):
        self.__dict__.update(values)


class OmegaConf:
    @staticmethod
    def load(file):
        return DictConfig(yaml.safe_load(Path(file).read_text()))

    @staticmethod
    def to_container(config, resolve=False):
        return dict(config.__dict__)
