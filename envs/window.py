"""The window of render_mode "human", through pygame (the extra `play`)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.extras import extra
from inspatio_gym.types import Size


class Window:
    """Shows frames of `size` (height, width) as they come, at the pace of the scene; opened on the first one."""

    def __init__(self, size: Size):
        with extra("play"):
            import pygame
        self._pygame = pygame
        self._size = size
        self._screen: Any = None

    def show(self, frames: NDArray[np.uint8], fps: float) -> None:
        """Show frames, uint8 (n, H, W, 3), one every 1 / fps seconds."""
        pygame = self._pygame
        if self._screen is None:
            pygame.display.init()
            self._screen = pygame.display.set_mode(self._size[::-1], pygame.SCALED | pygame.RESIZABLE)
            pygame.display.set_caption("InSpatio Gym")
            self._pace = pygame.time.Clock()
        for frame in frames:
            pygame.event.pump()
            self._screen.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
            pygame.display.flip()
            self._pace.tick(fps)

    def close(self) -> None:
        """Close it; the next `show` opens it again."""
        if self._screen is not None:
            self._pygame.display.quit()
            self._screen = None
