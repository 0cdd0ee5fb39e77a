"""A stand-in for ULIP-2: a factory that reads a file of its clone, and embeddings as in the stand-in for Uni3D."""

from pathlib import Path

import torch


class ULIP2_WITH_OPENCLIP(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pc_projection = torch.nn.Parameter(torch.zeros(3, 3))

    def encode_pc(self, pc):
        assert not self.training and pc.shape[0] == 1 and pc.shape[2] == 6 and pc.dtype == torch.float32
        assert abs(pc[..., :3].norm(dim=-1).max() - 1) < 1e-5, "not in the unit sphere"
        assert torch.allclose(pc[..., 3:], torch.tensor(0.4)), "uncoloured shapes are grey"
        return pc[..., :3].std(dim=1) @ self.pc_projection

    def encode_image(self, image):
        assert tuple(image.shape) == (1, 3, 224, 224) and image.dtype == torch.float32
        assert image[0, :, 0, 0].min() > 1.5, "white is about two in CLIP's units"
        return torch.tensor([[0.0, 1.0, 0.0]])


def ULIP2_PointBERT_Colored(args):
    assert args.evaluate_3d
    assert Path("./models/ULIP_models.py").is_file(), "it reads its yaml files relative to its clone"
    return ULIP2_WITH_OPENCLIP()
