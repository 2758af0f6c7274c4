"""The STAR world model: a video-conditioned spatiotemporal autoregressive diffusion transformer.

codec, taehv, vae        frames to latents and back, as causal streams
dit, cache,              the transformer: prefill a context, denoise a block
rope, attention
schedule, noise, mask    how a block is sampled, from which noise, steered by which mask
offline                  a whole clip of latents, as the released system makes it
session, model           one world's state, and the steps of many worlds
text, release            prompts; the released models put together from their weights
tiny                     a model of our own, small enough for a CPU
"""

from inspatio_gym.star.offline import generate_latents, load_dit
from inspatio_gym.star.taehv import Taehv

__all__ = ["Taehv", "generate_latents", "load_dit"]
