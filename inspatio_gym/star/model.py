"""The STAR world: a diffusion transformer that is shown where the camera would be, and invents what it would see.

A step of one session, a block of 4 t frames (the first: 1 + 4 (t - 1); the released models have t = 3, so 9 and 12):

    splat      the scene's frames, lifted by depth, into the target cameras    render (F, 3, H, W), mask, depth
               and, for a model that learnt it, what the warp world shows in the holes
    encode     the render; the source frames as shown                           latents (1, t, 16, H/8, W/8) each
    prefill    reference latents and the previous block's                       keys and values of every layer
    denoise    four steps, steered by mask and render                           latents (1, t, 16, H/8, W/8)
    decode     to frames, of which the observed ones are handed out

All of it on one device, float32 or bfloat16 in the networks, float32 in the latents. Depth is the splat's (and the warp's), holes
filled from their farther rim; `covered` is the mask.

Sessions are stepped in batches of `max_batch`: one world at a time on the CPU, where batching gains nothing and a
product of matrices rounds differently for another batch, so that a world never depends on its batch mates.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.extras import extra
from inspatio_gym.geometry.holes import fill_depth
from inspatio_gym.star.cache import KeyValues, Text
from inspatio_gym.star.codec import SPATIAL, TEMPORAL, Decoder, Encoder, split, stack
from inspatio_gym.star.dit import PATCH, Dit
from inspatio_gym.star.mask import mask_latents
from inspatio_gym.star.memory import keep_freed
from inspatio_gym.star.noise import block_noise
from inspatio_gym.star.references import ReferenceStore
from inspatio_gym.star.schedule import Schedule, sample_block
from inspatio_gym.star.session import Past, StarSession, follow
from inspatio_gym.types import Size
from inspatio_gym.warp import WarpModel, WarpSession, at_size
from inspatio_gym.world import Block, BlockRequest

with extra("star"):
    import torch
    from torch import Tensor, nn

    from inspatio_gym.geometry.splatting import splat

MULTIPLE = SPATIAL * PATCH[1]
"""Pixels that height and width must be multiples of: a token's."""
FULL = 16_384
"""Tokens that keep a large GPU busy: more in one call of the transformer take as much longer as they are more."""
KEPT_PROMPTS = 8

Listener = Callable[[str], Any]
"""Called with a stage's name when it begins, and with "" at the end of a block."""


class StarModel:
    """Weights and compute of a STAR world.

    dit: the transformer. encoder, decoder: the codec's ends. embed: a prompt's embeddings (1, L, text_dim).
    render_size: (height, width), multiples of 16. latents_per_block: t. prompt: shown instead of the scene's caption.
    max_batch: worlds in one call of the networks, always 1 on the CPU; memory grows with it, and None takes as many as
    fill a GPU. far: None normalises the splat's
    depth weights by each frame's farthest point; a number, log(1 + depth), is used for every frame instead. background: fill
    the render's holes with what the warp world shows there, above all from other frames (`layers`).
    """

    def __init__(
        self,
        dit: Dit,
        encoder: Encoder,
        decoder: Decoder,
        embed: Callable[[str], Tensor],
        *,
        render_size: Size,
        name: str = "star",
        latents_per_block: int = 3,
        schedule: Schedule | None = None,
        prompt: str | None = None,
        max_batch: int | None = None,
        far: float | None = None,
        background: bool = False,
    ):
        if latents_per_block < 1 or (max_batch is not None and max_batch < 1):
            raise ValueError(
                f"expected latents_per_block and max_batch of at least 1, got {latents_per_block} and {max_batch}"
            )
        if min(render_size) < MULTIPLE or any(side % MULTIPLE for side in render_size):
            nearest = tuple(max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE) for side in render_size)
            raise ValueError(
                f"expected a render size of multiples of {MULTIPLE}, got {tuple(render_size)}: pass render_size={nearest}"
            )
        tokens = (
            render_size[0] * render_size[1] // MULTIPLE**2 * 3 * latents_per_block
        )  # of two parts context, one block
        max_batch = max(1, FULL // tokens) if max_batch is None else max_batch
        self.name, self.dit, self.encoder, self.decoder, self.embed = name, dit, encoder, decoder, embed
        self.render_size = (int(render_size[0]), int(render_size[1]))
        self.latents_per_block, self.schedule, self.prompt, self.far = (
            latents_per_block,
            schedule or Schedule(),
            prompt,
            far,
        )
        self.first_frames, self.block_frames = 1 + TEMPORAL * (latents_per_block - 1), TEMPORAL * latents_per_block
        self.device = dit.device
        if self.device.type == "cpu":
            keep_freed()
        self.max_batch = max_batch if self.device.type != "cpu" else 1
        self.nondeterministic = self.device.type != "cpu"
        told = (
            name, dit.config, weights_digest(dit), encoder.name, weights_digest(encoder.network), decoder.name,
            weights_digest(decoder.network), self.schedule, latents_per_block, prompt, far, background,
        )  # fmt: skip
        self.digest = hashlib.blake2b(repr(told).encode(), digest_size=16).hexdigest()
        self.memory = max(encoder.receptive_latents, decoder.receptive_latents)
        self._warp = WarpModel(self.render_size) if background else None
        self._references = ReferenceStore()
        self._texts: dict[str, Text] = {}
        self._cache: KeyValues | None = None
        self.listen: Listener = lambda stage: None  # benchmarks do

    def session(self, scene: Any, key: int) -> StarSession:
        """A session that has seen nothing yet, to be stepped by `start` or filled by `restore`."""
        caption = scene.caption if self.prompt is None else self.prompt
        origin = f"{scene.digest} {self.render_size} {self.encoder.name}".encode()
        return StarSession(
            at_size(scene, self.render_size), caption, key, hashlib.blake2b(origin, digest_size=32).digest()
        )

    def start(
        self, scenes: Sequence[Any], keys: Sequence[int], requests: Sequence[BlockRequest]
    ) -> tuple[list[StarSession], list[Block]]:
        """Begin one session a scene, and yield its first block of `first_frames` frames."""
        sessions = [self.session(scene, key) for scene, key in zip(scenes, keys, strict=True)]
        self._check(sessions, requests)
        for request in requests:
            if len(request.source) != self.first_frames:
                raise ValueError(f"expected a first block of {self.first_frames} frames, got {len(request.source)}")
        return sessions, self._advance(sessions, requests, self.first_frames)

    def step(self, sessions: Sequence[StarSession], requests: Sequence[BlockRequest]) -> list[Block]:
        """Advance each session by its request, one or more blocks of `block_frames` frames.

        Raises IndexError for a source frame outside the scene, ValueError for a part of a block, a session that has not
        begun or is there twice; no session has moved then.
        """
        self._check(sessions, requests)
        if len({id(session) for session in sessions}) < len(sessions):
            raise ValueError("expected sessions that differ, got one of them twice: fork it")
        for session, request in zip(sessions, requests, strict=True):
            if session.blocks == 0:
                raise ValueError("expected sessions that have begun, got a new one: make it with start, or restore it")
            if not len(request.source) or len(request.source) % self.block_frames:
                raise ValueError(f"expected a multiple of {self.block_frames} frames, got {len(request.source)}")
        for session in sessions:
            self._revive(session)
        return self._advance(sessions, requests, self.block_frames)

    def _check(self, sessions: Sequence[StarSession], requests: Sequence[BlockRequest]) -> None:
        """Raise for a request that does not fit its session's scene."""
        for session, request in zip(sessions, requests, strict=True):
            frames, last = len(request.source), session.view.num_frames - 1
            if frames and not (request.source.min() >= 0 and request.source.max() <= last):
                raise IndexError(f"expected source frames in 0..{last}, got {request.source.tolist()}")
            if request.c2w.shape != (frames, 4, 4):
                raise ValueError(f"expected cameras {(frames, 4, 4)}, got {request.c2w.shape}")

    @torch.inference_mode()
    def _advance(self, sessions: Sequence[StarSession], requests: Sequence[BlockRequest], frames: int) -> list[Block]:
        """All requests in rounds of one block of `frames` frames, each round in batches."""
        done: list[list[Block]] = [[] for _ in sessions]
        for first in range(0, max((len(r.source) for r in requests), default=0), frames):
            going = [k for k, request in enumerate(requests) if len(request.source) > first]
            for batch in _batches(going, self.max_batch):
                parts = [_part(requests[k], first, frames) for k in batch]
                for k, block in zip(batch, self._block([sessions[k] for k in batch], parts), strict=True):
                    done[k].append(block)
        return [
            blocks[0] if len(blocks) == 1 else _joined(blocks, request.observe // frames)
            for blocks, request in zip(done, requests, strict=True)
        ]

    def _block(self, sessions: Sequence[StarSession], requests: Sequence[BlockRequest]) -> list[Block]:
        """One block of each session; all are at their first, or none is."""
        first, worlds = sessions[0].blocks == 0, len(sessions)
        self.listen("splat")
        frames = torch.stack([self._frames(s.view, r.source) for s, r in zip(sessions, requests, strict=True)])
        render, mask, depth = self._splat(frames, sessions, requests)
        self.listen("encode")
        latents, streams = self.encoder.encode(render, None if first else self._stacked(sessions, "render"))
        render_streams = split(streams, worlds)
        reference, reference_streams = self._reference(frames, sessions, requests)
        condition = torch.cat((mask_latents(mask[:, :, 0] * 2 - 1, first), latents.float()), 2)
        self.listen("prefill")
        text = self._text(sessions)
        previous = [session.previous.to(self.device) for session in sessions if session.previous is not None]
        context = torch.cat((reference.float(), torch.cat(previous)), 1) if previous else reference.float()
        cache = self.dit.prefill(context, text, self._workspace(context), self.latents_per_block)
        self.listen("denoise")
        draws, shape = len(self.schedule.steps), latents.shape[1:]
        noise = torch.stack([block_noise(s.key, s.blocks, draws, shape) for s in sessions]).to(self.device)
        clean = sample_block(self.dit, condition, noise[:, 0], noise[:, 1:], cache, text, self.schedule)
        self.listen("decode")
        unseen = min((int(r.observe.min()) for r in requests if len(r.observe)), default=frames.shape[1] - 1)
        stream = None if first else self._stacked(sessions, "decoded")
        video, streams = self.decoder.decode(clean, stream, frames.shape[1] - unseen)
        self.listen("hand over")
        blocks = []
        for k, (session, request, stream) in enumerate(zip(sessions, requests, split(streams, worlds), strict=True)):
            session.previous = clean[k : k + 1].clone()
            session.reference, session.render, session.decoded = reference_streams[k], render_streams[k], stream
            session.prefix = follow(session.prefix, request.source)
            session.past = self._longer(session.past, request, session.previous)
            session.blocks += 1
            blocks.append(_observed(request.observe, video[k], depth[k], mask[k]))
        self.listen("")
        return blocks

    def _workspace(self, context: Tensor) -> KeyValues:
        """Keys and values for a whole batch of later blocks, made once."""
        if self._cache is None:
            tokens = context.shape[3] * context.shape[4] // (PATCH[1] * PATCH[2])
            capacity = 3 * self.latents_per_block * tokens  # reference, previous, and the block itself
            self._cache = KeyValues(self.dit.config, self.max_batch, capacity, self.device, self.dit.dtype)
        return self._cache

    def _splat(
        self, frames: Tensor, sessions: Sequence[StarSession], requests: Sequence[BlockRequest]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Source frames (B, F, 3, H, W) seen from the target cameras in [-1, 1], masks and depths (B, F, 1, H, W)."""
        pairs = list(zip(sessions, requests, strict=True))
        depth = np.stack([s.view.depth(int(i)) for s, r in pairs for i in r.source])
        source_c2w, target_c2w, intrinsics = (
            torch.from_numpy(np.concatenate(cameras)).to(self.device)
            for cameras in (
                [s.view.c2w[r.source] for s, r in pairs],
                [r.c2w for _, r in pairs],
                [s.view.intrinsics[r.source] for s, r in pairs],
            )
        )
        parts = splat(
            frames.flatten(0, 1),
            torch.from_numpy(depth[:, None]).to(self.device),
            source_c2w,
            target_c2w,
            intrinsics,
            normalizer="frame" if self.far is None else self.far,
            return_depth=True,
        )
        render, mask, z = (part.unflatten(0, (len(sessions), -1)) for part in parts)
        if self._warp is None:
            return render, mask, z
        wanted = [BlockRequest(r.source, r.c2w, np.arange(len(r.source))) for r in requests]
        warped = self._warp.step([WarpSession(s.view) for s in sessions], wanted)
        rgb, depths, covered = (
            torch.from_numpy(np.stack([getattr(block, name) for block in warped])).to(self.device)
            for name in ("rgb", "depth", "covered")
        )
        known = (mask == 0) & covered[:, :, None]
        render = torch.where(known, rgb.movedim(-1, 2).float() / 127.5 - 1, render)
        return render, torch.where(known, 1, mask), torch.where(known, depths[:, :, None], z)

    def _frames(self, view: Any, source: NDArray[np.int64]) -> Tensor:
        """Source frames (F, 3, H, W) in [-1, 1]."""
        frames = torch.from_numpy(np.stack([view.rgb(int(i)) for i in source])).to(self.device)
        return frames.permute(0, 3, 1, 2).float() / 127.5 - 1

    def _reference(
        self, frames: Tensor, sessions: Sequence[StarSession], requests: Sequence[BlockRequest]
    ) -> tuple[Tensor, list[Any]]:
        """Latents of the source frames as they were shown, and the stream after them; coded once for sessions alike."""
        keys = [follow(s.prefix, r.source) for s, r in zip(sessions, requests, strict=True)]
        found = {key: hit for key in keys if (hit := self._references.get(key)) is not None}
        missing = {key: k for k, key in enumerate(keys) if key not in found}
        if missing:
            rows = list(missing.values())
            stream = None if sessions[0].blocks == 0 else self._stacked([sessions[k] for k in rows], "reference")
            latents, stream = self.encoder.encode(frames[rows], stream)
            for row, (key, part) in enumerate(zip(missing, split(stream, len(rows)), strict=True)):
                found[key] = latents[row : row + 1].clone(), part
                self._references.put(key, *found[key])
        return torch.cat([found[key][0] for key in keys]), [found[key][1] for key in keys]

    def _stacked(self, sessions: Sequence[StarSession], name: str) -> Any:
        return tuple(part.to(self.device) for part in stack([getattr(session, name) for session in sessions]))

    def _text(self, sessions: Sequence[StarSession]) -> Text:
        """The prompts' keys and values, one row if all worlds share a prompt."""
        captions = dict.fromkeys(session.caption for session in sessions)
        for caption in captions:
            text = self._texts.pop(caption, None) or self.dit.read(self.embed(caption))
            self._texts[caption] = text  # behind those that were asked for longer ago
        while len(self._texts) > max(KEPT_PROMPTS, len(captions)):
            self._texts.pop(next(iter(self._texts)))
        texts = [self._texts[session.caption] for session in sessions]
        if len(captions) == 1:
            return texts[0]
        return Text(torch.cat([text.keys for text in texts], 1), torch.cat([text.values for text in texts], 1))

    def _longer(self, past: Past | None, request: BlockRequest, latents: Tensor) -> Past:
        """The past with a block added, cut to what the codecs remember."""
        if past is None:
            past = Past(request.source[:0], request.c2w[:0], latents[:, :0])
        frames = 1 + TEMPORAL * (self.memory - 1)
        return Past(
            np.concatenate((past.source, request.source))[-frames:],
            np.concatenate((past.c2w, request.c2w))[-frames:],
            torch.cat((past.latents.to(latents.device), latents), 1)[:, -self.memory :].clone(),
        )

    @torch.inference_mode()
    def _revive(self, session: StarSession) -> None:
        """Code a light snapshot's streams anew, from the frames and latents that their memory reaches back to."""
        if session.decoded is not None or session.past is None:
            return
        past = session.past
        request = BlockRequest(past.source, past.c2w, past.source[:0])
        frames = self._frames(session.view, past.source)[None]
        _, session.reference = self.encoder.encode(frames, None)
        _, session.render = self.encoder.encode(self._splat(frames, [session], [request])[0], None)
        _, session.decoded = self.decoder.decode(past.latents.to(self.device), None)


def weights_digest(module: nn.Module) -> str:
    """A hash of every parameter's name, shape and up to 64 values spread over it: cheap at any size, and as telling."""
    told = hashlib.blake2b(digest_size=16)
    for name, parameter in sorted(module.named_parameters()):
        flat = parameter.detach().flatten()
        some = flat[:: max(1, len(flat) // 64)][:64].float().cpu().numpy()
        told.update(f"{name} {tuple(parameter.shape)}".encode() + some.tobytes())
    return told.hexdigest()


def _batches(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _part(request: BlockRequest, first: int, frames: int) -> BlockRequest:
    """Frames `first` .. `first` + `frames` of a request, and which of those are observed."""
    observe = request.observe[(request.observe >= first) & (request.observe < first + frames)] - first
    return BlockRequest(request.source[first : first + frames], request.c2w[first : first + frames], observe)


def _joined(blocks: Sequence[Block], block_of: NDArray[np.int64]) -> Block:
    """One block of several; block_of: in which of them the frames observed lie, in the order in which they are wanted."""
    order = np.argsort(np.argsort(block_of, kind="stable"))
    rgb, depth, covered = (
        np.concatenate([getattr(block, name) for block in blocks])[order] for name in ("rgb", "depth", "covered")
    )
    return Block(rgb, depth, covered)


def _observed(observe: NDArray[np.int64], video: Tensor, depth: Tensor, mask: Tensor) -> Block:
    """Of one world's block the frames somebody looks at: video (F' <= F, 3, H, W) in [-1, 1], the last frames of the block;
    depth and mask (F, 1, H, W)."""
    rows = torch.from_numpy(observe).to(video.device)
    rgb = ((video[rows - len(depth)].float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    covered = (mask[rows, 0] > 0).cpu().numpy()
    return Block(rgb.cpu().numpy().copy(), fill_depth(depth[rows, 0].cpu().numpy(), covered), covered)
