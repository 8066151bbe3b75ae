"""The numbers that make one network of the SAM 2 family: widths, depths, windows, and which parts it has."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from napari_sam2s.errors import ModelError

STRIDE = 16  # of a mask to the map that memories, attention and the decoder live on; but for SAM 3 of a frame as well
UNIT = 32  # of the input's side, in networks whose coarsest map is at this stride
UNITS = (UNIT, 336)  # the latter is a window of SAM 3's
MIN_SIZE = 64
MAX_SIZE = 8192  # more than any memory holds the attention of
MAX_EDGE_RADIUS = 16  # large objects have windows three times as wide, and their cost grows with it
LITE_CHANNELS = (24, 40, 112, 320)  # of EfficientNet-Lite0 at strides 4, 8, 16, 32


@dataclass(frozen=True)
class TrunkConfig:
    """The image encoder's trunk.

    SAM 2's Hiera, EdgeTAM's RepViT, SAM 3's vision transformer, EfficientTAM's plain one, or ``nano``'s small one, alone or
    beside a pretrained.
    """

    kind: Literal["hiera", "repvit", "vit", "plain_vit", "conv", "efficientnet_lite"] = "hiera"
    embed_dim: int = 96  # channels at stride 4; they double at each stage of a Hiera, and stay in transformers
    num_heads: int = 1  # at the first stage; they double as the channels do
    stages: tuple[int, ...] = (1, 2, 7, 2)  # blocks at strides 4, 8, 16, 32
    global_blocks: tuple[int, ...] = (5, 7, 9)  # blocks that attend to the whole map instead of windows
    window_spec: tuple[int, ...] = (8, 4, 14, 7)  # side of the windows of each stage
    background_size: tuple[int, int] = (7, 7)  # of the learned background position embedding
    widths: tuple[int, ...] = ()  # of convolutional stages: channels at strides 4, 8, 16, 32
    cut: int = 16  # "efficientnet_lite" only: the stride, 16 or 32, down to which it is used
    stride: int = STRIDE  # pixels of the input to a cell of the map; another one in a "vit" only
    mlp_width: int = 0  # "vit" only: of the wider layer after each attention

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the four maps the trunk gives, from stride 4 to 32; a transformer gives the same one four times."""
        if self.kind in ("vit", "plain_vit"):
            return (self.embed_dim,) * 4
        if self.kind == "hiera":
            return tuple(self.embed_dim * 2**stage for stage in range(4))
        return self.widths

    @property
    def joined(self) -> int:
        """How many of the coarse maps a pretrained map is added to: those at stride 16, then 32."""
        if self.kind != "efficientnet_lite":
            return 0
        return 2 if self.cut == 32 else 1

    @property
    def unit(self) -> int:
        """What the input's side has to be a multiple of: 32, or a window of a "vit"."""
        return self.stride * self.window_spec[0] if self.kind == "vit" else UNIT


@dataclass(frozen=True)
class ModelConfig:
    """One network. The defaults are those of SAM 2.1 tiny; a checkpoint's own metadata may carry any other."""

    name: str = "sam2.1-tiny"
    trunk: TrunkConfig = TrunkConfig()
    image_size: int = 1024  # side of the square the frame is squashed into, a multiple of 32; 1008 in SAM 3
    hidden_dim: int = 256  # C: channels of features, pointers, attention and decoder
    memory_dim: int = 64  # D: channels of a memory
    attention_layers: int = 4
    attention_feedforward: int = 2048
    decoder_layers: int = 2
    decoder_heads: int = 8
    decoder_feedforward: int = 2048
    num_maskmem: int = 7  # conditioning + 6 most recent
    max_pointers: int = 16  # nothing reads it; checkpoints have it (a policy says how many)
    # What SAM 2.1 has and SAM 2.0 has not
    no_object_memory: bool = True  # `no_obj_embed_spatial`
    pointer_time: bool = True  # signed temporal encoding of object pointers
    # What SAM2S adds
    long_term: bool = False  # a learned temporal embedding of long-term memories
    semantic: bool = False  # the TSL path: CLS token, its attention over memories, its projection
    text_dim: int = 512  # of the class embeddings that TSL compares with
    # What only EdgeTAM has
    latents: int = 0  # of a memory that look at the whole map; 0 for memories that are maps
    latent_side: int = 0  # of the coarse map that its other latents are
    # What only `nano` has
    locality_bias: float = 0.0  # initial bias of the first memory cross-attention's queries and keys
    dense_prompts: bool = False  # a map of the clicks and the box, added to the dense prompt embedding
    match_dim: int = 0  # channels that cells of stride 8 are matched by; 0 for no matching
    match_pretrained: int = 0  # as many again, of what a pretrained trunk sees there
    match_unit: bool = False  # its maps are brought to unit length, cell by cell, before they become keys
    interactive: bool = False  # a head of its own for first prompts
    prompt_likeness: int = 0  # channels by which that head compares cells with what was clicked; 0 for no comparison
    prompt_unit: int = 0  # channels of a second comparison, by maps of unit length, as with `match_unit`
    edge_radius: int = 0  # of windows of the picture by which edges are drawn, in 2 pixels of the input; 0 draws none
    prompt_side: int = 0  # that head is Segment Anything's, which sees frames at this side; 0 for one that shares the trunk
    outline_side: int = 0  # at which that head sees frames whose tracked masks it outlines; 0 for prompt_side
    prompt_deep: bool = False  # that head sees the pretrained trunk's stride 32 as well, below its cut at 16

    def __post_init__(self) -> None:
        check_image_size(self.image_size, self.trunk.unit)
        if self.match_pretrained and not self.trunk.joined:
            raise ModelError(f"{self.name} cannot match by pretrained maps: its trunk {self.trunk.kind!r} has none.")
        if self.prompt_likeness and not (self.interactive and self.trunk.joined):
            raise ModelError(
                f"{self.name} cannot compare cells with clicks: that needs an interactive head and a pretrained trunk."
            )
        if self.prompt_unit and not self.prompt_likeness:
            raise ModelError(f"{self.name} cannot compare by maps of unit length alone: give prompt_likeness, too.")
        if self.prompt_side and (not self.interactive or self.prompt_likeness or self.prompt_side % STRIDE):
            raise ModelError(
                f"{self.name} cannot have Segment Anything's head at prompt_side={self.prompt_side}: give a multiple of "
                f"{STRIDE}, with interactive and without prompt_likeness."
            )
        if self.outline_side % STRIDE:
            raise ModelError(
                f"{self.name} cannot outline masks at outline_side={self.outline_side}: give a multiple of {STRIDE}."
            )
        if self.prompt_deep and not (self.interactive and self.trunk.joined == 1):
            raise ModelError(
                f"{self.name} cannot use deeper layers for prompts: that needs a pretrained trunk cut at stride 16."
            )
        if not (isinstance(self.edge_radius, int) and 0 <= self.edge_radius <= MAX_EDGE_RADIUS):
            raise ModelError(
                f"{self.name} cannot draw edges in windows of radius {self.edge_radius!r}: give 0 to {MAX_EDGE_RADIUS}."
            )
        if self.edge_radius and self.trunk.stride != STRIDE:
            raise ModelError(f"{self.name} cannot draw edges: its masks do not have cells of four pixels.")
        if self.trunk.cut not in (16, 32):
            raise ModelError(f"{self.name} cannot cut its pretrained trunk at stride {self.trunk.cut}: take 16 or 32.")
        if self.latent_side and self.image_size % (STRIDE * self.latent_side):
            raise ModelError(
                f"image_size={self.image_size} is not possible with {self.name}: take a multiple of "
                f"{STRIDE * self.latent_side}, such as 512 or 1024."
            )
        if self.interactive and self.trunk.kind not in ("conv", "efficientnet_lite"):
            raise ModelError(
                f"{self.name} cannot have an interactive head, which shares the fine stages of sam2s-nano's trunk."
            )

    @property
    def grid(self) -> int:
        """Side of the feature map, at stride 16 (14 in SAM 3)."""
        return self.image_size // self.trunk.stride

    @property
    def mask_size(self) -> int:
        """Side of a mask that is given or remembered; that of the input, but for SAM 3."""
        return STRIDE * self.grid

    @property
    def fine_maps(self) -> bool:
        """Whether the mask decoder sees maps of the frame that are finer than its own."""
        return self.trunk.kind != "plain_vit"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """Read what :meth:`to_dict` gave.

        Raises :class:`ModelError` if a key is not one of ours, as in a checkpoint of a newer version.
        """
        unknown = set(data) - {field.name for field in fields(cls)}
        trunk = dict(data.get("trunk", {}))
        unknown |= set(trunk) - {field.name for field in fields(TrunkConfig)}
        if unknown:
            raise ModelError(
                f"The checkpoint's configuration has unknown settings {sorted(unknown)}; it was probably made by a newer "
                "napari-sam2s: update it."
            )
        lists: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in trunk.items()}
        return cls(**{**data, "trunk": TrunkConfig(**lists)})


def check_image_size(size: int, unit: int | None = None) -> None:
    """Raise :class:`ModelError` unless ``size`` can be the side of a network's input: of any, or of one with this ``unit``."""
    if not possible_size(size, UNITS if unit is None else (unit,)):
        unit = unit or UNIT
        such = "512 or 1024" if unit == UNIT else str(3 * unit)
        raise ModelError(
            f"image_size={size!r} is not possible: take a multiple of {unit} from 64 to {MAX_SIZE}, such as {such}."
        )


def possible_size(size: int, units: tuple[int, ...] = UNITS) -> bool:
    """Whether a network of one of these units can have this as the side of its input."""
    whole = hasattr(size, "__index__") and not isinstance(size, bool)
    return whole and MIN_SIZE <= size <= MAX_SIZE and any(size % unit == 0 for unit in units)


_TINY = ModelConfig()
_BASE_PLUS_TRUNK = TrunkConfig(
    embed_dim=112,
    num_heads=2,
    stages=(2, 3, 16, 3),
    global_blocks=(12, 16, 20),
    background_size=(14, 14),
)
_LARGE_TRUNK = TrunkConfig(
    embed_dim=144,
    num_heads=2,
    stages=(2, 6, 36, 4),
    global_blocks=(23, 33, 43),
    window_spec=(8, 4, 16, 8),
)
_SAM21 = (
    _TINY,
    replace(_TINY, name="sam2.1-small", trunk=TrunkConfig(stages=(1, 2, 11, 2), global_blocks=(7, 10, 13))),
    replace(_TINY, name="sam2.1-base-plus", trunk=_BASE_PLUS_TRUNK),
    replace(_TINY, name="sam2.1-large", trunk=_LARGE_TRUNK),
)
_NANO = ModelConfig(
    name="sam2s-nano",
    trunk=TrunkConfig(kind="conv", stages=(1, 2, 3, 2), widths=(32, 64, 128, 192), global_blocks=(4, 5, 6, 7)),
    image_size=256,
    hidden_dim=128,
    memory_dim=64,
    attention_layers=2,
    attention_feedforward=512,
    decoder_heads=4,
    decoder_feedforward=512,
    long_term=True,
    text_dim=384,
    semantic=True,
    locality_bias=2.5,
    dense_prompts=True,
    match_dim=44,
)

EDGETAM = ModelConfig(
    name="edgetam",
    trunk=TrunkConfig(kind="repvit", stages=(2, 2, 14, 2), widths=(48, 96, 192, 384)),
    attention_layers=2,
    no_object_memory=False,
    pointer_time=False,
    latents=256,
    latent_side=16,
)

_EFFICIENT = ModelConfig(
    name="efficienttam-s",
    trunk=TrunkConfig(
        kind="plain_vit",
        embed_dim=384,
        num_heads=6,
        stages=(12,),
        global_blocks=(2, 5, 8, 11),
        window_spec=(14,),
        background_size=(14, 14),
    ),
    no_object_memory=False,
    pointer_time=False,
)
EFFICIENTTAM = (
    _EFFICIENT,
    replace(_EFFICIENT, name="efficienttam-ti", trunk=replace(_EFFICIENT.trunk, embed_dim=192, num_heads=3)),
)

SAM3 = ModelConfig(  # its tracker
    name="sam3",
    trunk=TrunkConfig(
        kind="vit",
        embed_dim=1024,
        num_heads=16,
        stages=(32,),
        global_blocks=(7, 15, 23, 31),
        window_spec=(24,),
        background_size=(24, 24),
        stride=14,
        mlp_width=4736,
    ),
    image_size=1008,
)

# ``nano`` beside a pretrained trunk. 32 channels of its maps, with 44 learned ones and a place, make 80: a multiple of 16,
# with which attention is fast.
NANO_LITE = replace(_NANO, trunk=replace(_NANO.trunk, kind="efficientnet_lite"), match_pretrained=32)

CONFIGS: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        _NANO,
        *_SAM21,
        # "The yaml difference of SAM 2.0 and 2.1 is exactly this"
        *(
            replace(config, name=config.name.replace("2.1", "2"), no_object_memory=False, pointer_time=False)
            for config in _SAM21
        ),
    )
}
