"""What the gallery trains: tasks with their budgets, variants, and which of them with which seeds."""

import hashlib
import re
import shlex
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

RUNS = Path("runs") / "gallery"


@dataclass(frozen=True)
class Task:
    """Data, a budget that every variant is given, and what it is judged by.

    Attributes:
        title: for people.
        budget: flags of `unetlift train`, the data's folder among them.
        tests: data sets by name whose test split is scored; the first is the one that stability is measured on.
        score: of `unetlift evaluate`; more is better.
        decimals: it is shown with.
    """

    title: str
    budget: str
    tests: dict[str, str]
    score: str
    decimals: int

    @property
    def data(self) -> Path:
        """What it is trained on."""
        flags = shlex.split(self.budget)
        return Path(flags[flags.index("--data") + 1])


PHOTOS = "--residual --width 16 --depth 3 --batch-size 8 --crop 128 --learning-rate 0.002 --task restore"
FACADES = "--data data/facades --task translate --width 16 --depth 4 --batch-size 4 --crop 256 --learning-rate 0.002"
NUCLEI = "--data data/dsb2018 --width 12 --depth 4 --batch-size 8 --crop 128 --augment microscopy"
SETS = {"CBSD68": "data/bsds500", "Set14": "data/sr_test/set14"}

TASKS = {
    "denoise": Task("Denoising, sigma 25", f"--data data/bsds500 --noise 25 {PHOTOS} --epochs 24", SETS, "psnr", 2),
    "sr4": Task("Super-resolution, x4", f"--data data/bsds500 --scale 4 {PHOTOS} --epochs 24", SETS, "psnr", 2),
    "nuclei": Task("Nuclei, 2 classes", f"{NUCLEI} --epochs 30", {"dsb2018": "data/dsb2018"}, "miou", 4),
    "streets": Task(
        "Streets, 11 classes",
        "--data data/camvid --width 12 --depth 4 --batch-size 8 --crop 192 --augment light --epochs 20",
        {"CamVid": "data/camvid"},
        "miou",
        4,
    ),
    "facades": Task("Facades from labels, L1", f"{FACADES} --epochs 60", {"facades": "data/facades"}, "psnr", 2),
    "pix2pix": Task("Facades from labels, pix2pix", f"{FACADES} --adversary lsgan --epochs 60", {"facades": "data/facades"}, "psnr", 2),
    "photos": Task("Denoising, photos_cc", f"--data data/photos_cc --noise 25 {PHOTOS} --epochs 600", SETS, "psnr", 2),
    "microscopy": Task(
        "Nuclei from masks, L1",
        "--data data/masks2018 --task translate --width 12 --depth 4 --batch-size 8 --crop 128 --learning-rate 0.002 --epochs 30",
        {"masks2018": "data/masks2018"},
        "psnr",
        2,
    ),
    "start": Task("Nuclei, small", f"{NUCLEI.replace('--width 12', '--width 8')} --epochs 8", {"dsb2018": "data/dsb2018"}, "miou", 4),
}

CIRCULAR = "--padding-mode circular"
ADAPTIVE = f"--phase adaptive {CIRCULAR}"
BASE, BLUR, LIFT = "--down max --up nearest", "--down blur-3 --up bilinear", "--down lift --up lift"
VARIANTS = {
    "max+nearest": BASE,
    "max+unpool": "--down max --up unpool",
    "stride+transpose": "--down stride --up transpose",
    "avg+bilinear": "--down avg --up bilinear",
    "blur-2+bilinear": "--down blur-2 --up bilinear",
    "blur-3+bilinear": BLUR,
    "blur-5+bilinear": "--down blur-5 --up bilinear",
    "blur-3+blur-3": "--down blur-3 --up blur-3",
    "blur-3+unpool": "--down blur-3 --up unpool",
    "lift+lift": LIFT,
    "lift(sum)+lift": f"{LIFT} --lift-bands sum",
    "lift+lift, penalty 0.1": f"{LIFT} --lift-penalty 0.1",
    "lift+lift, no skips": f"{LIFT} --no-skips",
    "max+unpool, no skips": "--down max --up unpool --no-skips",
    "lift+lift@adaptive": f"{LIFT} {ADAPTIVE}",
    "lift+lift@adaptive, penalty 0.1": f"{LIFT} {ADAPTIVE} --lift-penalty 0.1",
    "blur-3+bilinear@adaptive": f"{BLUR} {ADAPTIVE}",
    "max+nearest@adaptive": f"{BASE} {ADAPTIVE}",
    "max+nearest, circular": f"{BASE} {CIRCULAR}",  # what circular padding does by itself, beside the adaptive ones
    "blur-3+bilinear, circular": f"{BLUR} {CIRCULAR}",
    "lift+lift, circular": f"{LIFT} {CIRCULAR}",
    "blur-3+bilinear, replicate": f"{BLUR} --padding-mode replicate",  # what lies beyond the frame is then the same wherever it ends
    "max+nearest/c2sp": f"{BASE} --conv c2sp",
    "max+nearest/deform": f"{BASE} --conv deform",
    "blur-3+bilinear, consistency": f"{BLUR} --consistency 30",
    "blur-3+bilinear, consistency 3": f"{BLUR} --consistency 3",
    "blur-3+bilinear@learned": f"{BLUR} --phase learned {CIRCULAR}",
    "fourier+fourier/filtered": f"--down fourier --up fourier --activation filtered-relu {CIRCULAR}",
}
"""By name, flags of `unetlift train` beside the task's."""

PEERS = {
    # smp's own networks, with the encoder's own strides; the second has timm's BlurPool in its residual blocks
    "smp.Unet/resnet18": "tu-resnet18",
    "smp.Unet/resnet18, timm blur": "tu-resnetblur18",
}

SPUN = "max+nearest, spin 2"
"""Cycle spinning over four grids: no network of its own."""

SKIPS = {"": "", ", no skips": " --no-skips"}
PENALTIES = "0", "0.1", "1"
STARTS = {
    f"lift+lift, {start}, {weight}{skips}": f"{LIFT} --lift-start {start} --lift-penalty {weight}{flag}"
    for start in ("haar", "lazy", "cdf53")
    for weight in PENALTIES
    for skips, flag in SKIPS.items()
}
STARTS |= {f"{name}{skips}": f"{VARIANTS[name]}{flag}" for name in ("max+nearest", "max+unpool") for skips, flag in SKIPS.items()}
"""What a lift is before training, and how much its regularisers weigh; and what it is to be better than."""

PRINCIPAL = ("max+nearest", "blur-3+bilinear", "lift+lift", "lift+lift@adaptive")
ON_ROLLS = tuple(name for name in VARIANTS if name.endswith(("@adaptive", ", circular")) and name not in PRINCIPAL)
FIRST = ("max+nearest", "blur-3+bilinear", "max+unpool", "lift+lift")
TELLING = (*PRINCIPAL, "max+unpool")
CONVOLVED = ("max+nearest/c2sp", "max+nearest/deform")
SKIPLESS = ("lift+lift, no skips", "max+unpool, no skips")
PENALISED = ("lift+lift, penalty 0.1", "lift+lift@adaptive, penalty 0.1")
SHIPPED = (*FIRST[:3], *PENALISED)
"""The nuclei of benchmarks/checkpoints.py, which other benchmarks measure too."""
MOVING = ("blur-3+bilinear, consistency", "blur-3+bilinear, consistency 3", "blur-3+bilinear@learned")


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        task: a name in `TASKS`.
        variant: `SPUN`, a name in `VARIANTS`, `PEERS` or, of the task `start`, `STARTS`.
        seed: of `unetlift train`.
    """

    task: str
    variant: str
    seed: int = 0

    @property
    def name(self) -> str:
        """By which its figures are stored."""
        return f"{self.task}/{self.variant}/{self.seed}"

    @property
    def network(self) -> "Run":
        """The run that trains what this one asks."""
        return Run(self.task, "max+nearest", self.seed) if self.variant == SPUN else self

    @property
    def shipped(self) -> bool:
        """Whether benchmarks/checkpoints.py has trained it, with this budget."""
        return self.task == "nuclei" and self.seed == 0 and self.variant in SHIPPED

    @property
    def folder(self) -> Path:
        """Where it trains."""
        return RUNS / self.task / re.sub("[/, ]+", "-", self.variant) / str(self.seed)

    @property
    def mark(self) -> Path:
        """The file that its training leaves: what it was a training of."""
        return self.folder / "finished"

    @property
    def trained(self) -> bool:
        """Whether this very run is done: the same command on the same data."""
        network = self.network
        return network.shipped or (network.mark.exists() and network.mark.read_text() == network.content)

    @property
    def best(self) -> Path:
        """The model folder."""
        if self.network != self:
            return self.network.best
        return Path("checkpoints") / self.variant.partition(",")[0] if self.shipped else self.folder / "best"

    @property
    def start(self) -> Path | None:
        """Where a peer's random weights lie, as `unetlift convert` has made them."""
        return self.folder.with_name("start") / str(self.seed) if self.variant in PEERS else None

    @property
    def command(self) -> list[str]:
        """The command that trains it, but for --out."""
        if self.network != self:
            return self.network.command
        budget = TASKS[self.task].budget
        flags = (VARIANTS | STARTS).get(self.variant, f"--from {self.start}")
        if self.start is not None:
            budget = re.sub(r"--(width|depth) \d+ ?", "", budget)  # those of the U-Net that it is not
        said = f"{budget} {flags} --seed {self.seed}"
        return ["unetlift", "train", *shlex.split(said), "--no-report", "--previews", "0", "--workers", "0"]

    @cached_property
    def content(self) -> str:
        """What makes it another run: the command and the data."""
        made_of = "\n".join([*self.command, data_hash(TASKS[self.task].data)])
        return hashlib.sha256(made_of.encode()).hexdigest()


@cache
def data_hash(folder: Path) -> str:
    """Of every file's name and bytes."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


_ORDER = [
    *(Run("denoise", name) for name in ("lift+lift", "lift+lift@adaptive", *PENALISED, *SKIPLESS, "lift(sum)+lift")),
    *(Run("denoise", name) for name in ("lift+lift, circular", *TELLING)),
    *(Run("photos", name) for name in (*TELLING, *PENALISED)),
    *(Run("nuclei", name) for name in ("lift+lift", *TELLING, *SHIPPED, MOVING[0])),
    *(Run(task, name) for task in ("facades", "sr4") for name in (*FIRST, *PENALISED[:1])),
    *(Run("nuclei", name, seed) for name in (*PRINCIPAL, *PENALISED) for seed in (1, 2)),
    *(Run("microscopy", name) for name in (*TELLING, *PENALISED)),
    *(Run("denoise", name) for name in ("stride+transpose", "avg+bilinear", "blur-2+bilinear", "blur-5+bilinear", "blur-3+blur-3")),
    Run("denoise", CONVOLVED[0]),
    Run("nuclei", "blur-3+bilinear, replicate"),
    *(Run("start", name, seed) for seed in range(3) for name in (*STARTS, CONVOLVED[0])),
    *(Run("streets", name) for name in FIRST),
    *(Run("denoise", name) for name in ("blur-3+unpool", *ON_ROLLS, SPUN)),
    *(Run("nuclei", name) for name in ("lift+lift, circular", *SKIPLESS, *PEERS, SPUN, "lift(sum)+lift")),
    *(Run("pix2pix", name) for name in (*FIRST, *PENALISED[:1])),
    *(Run("start", CONVOLVED[1], seed) for seed in range(3)),
    *(Run("nuclei", name) for name in MOVING[1:]),
    Run("denoise", "fourier+fourier/filtered"),
    *(Run("nuclei", SKIPLESS[0], seed) for seed in (1, 2)),
    *(Run("streets", name) for name in SKIPLESS),
    *(Run(task, SKIPLESS[0]) for task in ("sr4", "facades")),
]
LIST = list(dict.fromkeys(_ORDER))
"""Every run there is, in the order in which they are trained: the widest view first."""
