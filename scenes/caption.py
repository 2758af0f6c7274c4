"""What a video shows, in words, for a world model that listens to them: captions by Florence-2.

    a frame (H, W, 3)  --resized to 768 x 768-->  577 image tokens, then the task's question  -->  a sentence or three

The network is transformers' own, from the repository `florence-community/Florence-2-large`, whose weights are under the
MIT licence. A scene's caption is that of its middle frame and is stored with the scene, which never changes; `plan`
says, before anything is anchored, where it will come from, because that is part of what the scene is.
"""

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inspatio_gym.checkpoints import locate, present
from inspatio_gym.extras import extra
from inspatio_gym.scenes.decode import Clip
from inspatio_gym.types import Rgb

logger = logging.getLogger(__name__)

WEIGHTS = "florence-2"
TASK = "<MORE_DETAILED_CAPTION>"
MAX_TOKENS = 256
BEAMS = 3


class Captioner:
    """Florence-2 with its processor; `Captioner.load(folder)` makes one."""

    def __init__(self, network: Any, processor: Any):
        self._network, self._processor = network, processor

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "Captioner":
        """The captioner in `folder`, in float32 on a CPU and in float16 elsewhere.

        Raises FileNotFoundError where files are missing, WeightsError where weights and configuration do not agree,
        MissingExtra without transformers.
        """
        with extra("depth"):
            import torch
            from transformers import Florence2ForConditionalGeneration, Florence2Processor

            from inspatio_gym.checkpoints.pretrained import load_pretrained, require_files, silent_transformers
        require_files(Path(folder), "*processor_config.json", "tokenizer.json")
        dtype = torch.float32 if torch.device(device).type == "cpu" else torch.float16
        network = load_pretrained(Florence2ForConditionalGeneration, folder, device=device, dtype=dtype)
        with silent_transformers():
            processor = Florence2Processor.from_pretrained(folder, local_files_only=True)
        return cls(network, processor)

    def caption(self, frame: Rgb) -> str:
        """What the frame, uint8 (H, W, 3), shows: always the same words for the same frame."""
        inputs = self._processor(text=TASK, images=frame, return_tensors="pt")
        inputs = inputs.to(self._network.device, self._network.dtype)
        ids = self._network.generate(**inputs, max_new_tokens=MAX_TOKENS, num_beams=BEAMS, do_sample=False)
        (text,) = self._processor.batch_decode(ids, skip_special_tokens=True)
        return " ".join(text.split())


def caption(frame: Rgb, folder: str | Path) -> str:
    """What a frame shows, by the captioner in `folder`, which is loaded for this and dropped again."""
    with extra("depth"):
        from inspatio_gym.checkpoints.pretrained import best_device

        device = best_device()
    return Captioner.load(folder, device).caption(frame)


def plan(wanted: str) -> tuple[dict[str, Any], Callable[[Clip], str]]:
    """How the caption that `anchor` is asked for comes about: what it adds to a scene's options, and the way to make it.

    wanted: "auto" for Florence-2 if its weights and transformers are there and else nothing, "none" for nothing, any
    other text for that text. Nothing adds nothing, so that a scene without a caption has the key that it always had.
    """
    if wanted == "auto" and present(WEIGHTS) and importlib.util.find_spec("transformers"):
        return {"caption": {"by": WEIGHTS}}, _by_florence
    text = "" if wanted in ("auto", "none") else wanted
    return {"caption": {"text": text}} if text else {}, lambda _: text


def _by_florence(clip: Clip) -> str:
    words = caption(clip.rgb(clip.num_frames // 2), locate(WEIGHTS))
    logger.info("captioned %r", words)
    return words
