"""The validity mask of a render, as the transformer's four mask channels.

    mask (B, T, H, W), +1 where a pixel was seen, -1 in holes  ->  (B, t, 4, H/8, W/8)

Every frame is resized to the latents' size; the four frames that a latent stands for are its four channels. Latent 0 of a
stream stands for frame 0 alone, which is repeated.
"""

from inspatio_gym.extras import extra
from inspatio_gym.star.codec import SPATIAL, TEMPORAL, latents_of

with extra("star"):
    from torch import Tensor, cat
    from torch.nn import functional


def mask_latents(mask: Tensor, first: bool) -> Tensor:
    """Masks (B, T, H, W) of one block -> (B, t, 4, H/8, W/8). first: the block begins a stream.

    Raises ValueError for a number of frames that makes no whole latents.
    """
    batch, frames, height, width = mask.shape
    count = latents_of(frames, first)
    small = functional.interpolate(mask, (height // SPATIAL, width // SPATIAL), mode="bilinear", align_corners=False)
    if first:
        small = cat((small[:, :1].expand(-1, TEMPORAL - 1, -1, -1), small), 1)
    return small.view(batch, count, TEMPORAL, height // SPATIAL, width // SPATIAL)
