"""The STAR world model: a video-conditioned spatiotemporal autoregressive diffusion transformer."""
