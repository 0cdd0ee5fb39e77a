"""A stand-in for Uni3D: what its factory takes, and embeddings that say how far the points reach along each axis."""

import torch


class Uni3D(torch.nn.Module):
    def __init__(self, point_encoder):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.ones([]))
        self.point_encoder = point_encoder

    def encode_pc(self, pc):
        assert not self.training and pc.dtype == torch.float32
        batch, count, numbers = pc.shape
        xyz, color = pc[:, :, :3].contiguous(), pc[:, :, 3:].contiguous()
        assert (batch, numbers) == (1, 6) and count >= 512 and color.min() >= 0 and color.max() <= 1
        reach = xyz.norm(dim=-1).max()
        assert abs(reach - 1) < 1e-5 and xyz.mean(dim=1).abs().max() < 1e-5, "not in the unit sphere"
        return self.point_encoder(xyz, color)


class PointcloudEncoder(torch.nn.Module):
    def __init__(self, point_transformer, args):
        super().__init__()
        assert point_transformer == "eva02_tiny_patch14_336.mim_in22k_ft_in1k"
        assert (args.pc_feat_dim, args.embed_dim, args.group_size) == (192, 1024, 64)
        assert (args.num_group, args.pc_encoder_dim, args.patch_dropout) == (512, 512, 0.0)
        self.trans2embed = torch.nn.Linear(3, 3, bias=False)

    def forward(self, pts, colors):
        return self.trans2embed(pts.std(dim=1))


def create_uni3d(args):
    assert (args.pretrained_pc, args.drop_path_rate) == ("", 0.0)
    return Uni3D(point_encoder=PointcloudEncoder(args.pc_model, args))
