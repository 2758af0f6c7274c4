"""The window of render_mode "human", through pygame (the extra `play`)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.extras import extra
from inspatio_gym.types import Size

SMALLEST = 480  # pixels of height: smaller frames are enlarged by a whole factor


class Window:
    """Shows frames of `size` (height, width) as they come, at the pace of the scene; opened on the first one."""

    def __init__(self, size: Size):
        with extra("play"):
            import pygame
        self._pygame = pygame
        factor = max(1, SMALLEST // size[0])
        self._shape = (size[1] * factor, size[0] * factor)
        self._screen: Any = None

    def show(self, frames: NDArray[np.uint8], fps: float) -> None:
        """Show frames, uint8 (n, H, W, 3), one every 1 / fps seconds."""
        pygame = self._pygame
        if self._screen is None:
            pygame.display.init()
            self._screen = pygame.display.set_mode(self._shape)
            pygame.display.set_caption("InSpatio Gym")
            self._pace = pygame.time.Clock()
        for frame in frames:
            pygame.event.pump()
            surface = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
            pygame.transform.scale(surface, self._shape, self._screen)
            pygame.display.flip()
            self._pace.tick(fps)

    def close(self) -> None:
        """Close it; the next `show` opens it again."""
        if self._screen is not None:
            self._pygame.display.quit()
            self._screen = None
