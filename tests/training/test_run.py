"""Runs: configured by a file, resumed to the same trajectory, stopped by bad data."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_sam2s import Project, load_model, open_video
from napari_sam2s.cli import main
from napari_sam2s.errors import FormatError, ModelError, TrainingError
from napari_sam2s.formats import write_davis, write_video
from napari_sam2s.model.checkpoints import find_weights
from napari_sam2s.model.network import SAM2S
from napari_sam2s.model.network_config import CONFIGS
from napari_sam2s.synthetic.clip import ArrayClip
from napari_sam2s.synthetic.samples import demo_case
from napari_sam2s.training.checkpoint import model_state, save_atomically
from napari_sam2s.training.class_embeddings import fixed_embeddings
from napari_sam2s.training.clip_families import Recorded
from napari_sam2s.training.curves import draw_curves
from napari_sam2s.training.data import batches, entropy
from napari_sam2s.training.loop import TrainingRun
from napari_sam2s.training.optimizer import make_optimizer
from napari_sam2s.training.setup import start
from napari_sam2s.training.training_config import read_config

CLASSES = ["grasper", "hook", "scissors", "clip applier", "suction", "needle driver", "bipolar", "catheter"]


@pytest.fixture
def config(write_config):
    image = {"name": "image", "batch": 2}
    video = {"name": "video", "steps": 4, "frames": 6, "divemem": 0.5, "images": 0.2}
    return write_config(image, video, objects=2, more=f"cuts = 0.2\nclass_names = {json.dumps(CLASSES)}")


def weights(folder):
    return torch.load(folder / "last.pt", weights_only=True)["model"]


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(config, tmp_path):
    config.write_text(config.read_text().replace("frames = 6", "frames = 3").replace("steps = 4", "steps = 2"))
    run, data = start(config, tmp_path / "whole")
    run.train(data, workers=0)
    first, data = start(config, tmp_path / "parts")
    for step in range(3):
        first.learner.take_step(data[step])
    first.save()
    second, data = start(config, tmp_path / "parts")
    assert second.step == 3
    second.train(data, workers=0)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
    model = load_model(tmp_path / "whole" / "model.pt", device="cpu")
    assert model.image_size == 64  # that of the configuration, not of the network it has the shape of
    assert model.class_names[0] == "grasper"
    assert model.metadata["provenance"]["step"] == 4


@pytest.mark.slow
def test_the_command_line_writes_a_curve(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("napari_sam2s.training.loop.LOG_STEPS", 4)
    config.write_text(config.read_text().replace("steps = 4", "steps = 2").replace("frames = 6", "frames = 3"))
    assert main(["train", str(config), "--out", str(tmp_path / "run"), "--workers", "0"]) == 0
    assert "after 4 of 4 steps" in capsys.readouterr().out
    with (tmp_path / "run" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["step"] == "4"
    assert float(rows[-1]["tsl"]) >= 0


def test_the_curve_keeps_the_iou_and_the_loss_of_the_predicted_iou_apart(config, tmp_path):
    run, data = start(config, tmp_path / "run")
    losses, iou = run.learner.take_step(data[0])
    run._log(losses, iou)
    with (tmp_path / "run" / "curve.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["mask_iou"]) == pytest.approx(iou, abs=1e-5)
    assert float(row["iou"]) == pytest.approx(losses["iou"], abs=1e-5)


def test_it_learns(config, tmp_path):
    """Twelve steps on one batch bring its loss down."""
    run, data = start(config, tmp_path / "run")
    batch = data[0]
    losses = []
    for _ in range(12):
        run.learner.step = 1  # the same prompts and rate each time
        parts, _ = run.learner.take_step(batch)
        losses.append(parts["dice"] + 20 * parts["arl"])
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_every_parameter_that_matters_is_taught(config, tmp_path):
    run, data = start(config, tmp_path / "run")
    touched = set()
    batches = [batch for batch in map(data.__getitem__, range(2, 6)) if len(batch.roles) > 1]
    for batch in (*batches, *batches, data[0]):
        run.learner.step = 2
        run.learner.take_step(batch)
        touched |= {n for n, p in run.learner.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    untouched = {n for n, _ in run.learner.model.named_parameters()} - touched
    # Read by nothing; of absent objects; of masks that were not the best one of three.
    allowed = ("no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial", "sam_mask_decoder.output_hypernetworks_mlps")
    assert all(name.startswith(allowed) for name in untouched), untouched


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(config, tmp_path):
    run, data = start(config, tmp_path / "run")
    run.learner.take_step(data[0])
    run.save()
    kept = (tmp_path / "run" / "last.pt").read_bytes()
    with torch.no_grad():
        run.learner.model.no_mem_embed.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"step 1 is nan.*last\.pt"):
        run.learner.take_step(data[1])
    assert (tmp_path / "run" / "last.pt").read_bytes() == kept


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seed = 3", "sed = 3"), "unknown setting 'sed'"),
        (("seed = 3", ""), "seed"),
        (('model = "sam2s-nano"', 'model = "nano"'), "model 'nano'"),
        (("image_size = 64", "image_size = 65"), "multiple of 32"),
        (("steps = 4", "steps = 0"), "stage 'video'"),
        (("steps = 4", "steps = 4\nlater_corrections = 1.5"), "stage 'video': later_corrections"),
        (("laparoscopy = 1.0", "laparoscopy = 0.0"), "positive"),
        (("laparoscopy = 1.0", "composites = 1.0"), "no material for"),
        (("seed = 3", "seed = = 3"), "not valid TOML"),
        (("ema = 0.9", 'ema = 0.9\ntext_embeddings = "words"'), "'words'"),
        (("ema = 0.9", 'ema = 0.9\nprecision = "half"'), "precision 'half'"),
        (("ema = 0.9", 'ema = 0.9\naugmentation = "much"'), "augmentation 'much'"),
        (("ema = 0.9", "ema = 0.9\nlayer_decay = 0.0"), "layer_decay"),
        (("ema = 0.9", "ema = 0.9\ndepartures = 2"), "cuts and departures"),
        (("ema = 0.9", "ema = 0.9\nocclusion_weight = -1.0"), "occlusion_weight"),
        (("cuts = 0.2", 'cuts = 0.2\nvalidation = {every = 1, cases = 1, families = ["hela"]}'), "nothing to validate 'hela'"),
        (("cuts = 0.2", "cuts = 0.2\nvalidation = {every = 0, cases = 1}"), "every and cases"),
        (("cuts = 0.2", 'cuts = 0.2\ninteractive_init = "x.pt"'), "interactive_init needs"),
        (('model = "sam2s-nano"', 'model = "sam2.1-tiny"\ninteractive = true'), "only sam2s-nano"),
        (("cuts = 0.2", 'cuts = 0.2\nparts = ["interactive."]'), "parts names 'interactive.'"),
    ],
)
def test_bad_configurations(config, tmp_path, change, words):
    config.write_text(config.read_text().replace(*change))
    with pytest.raises(TrainingError, match=words):
        start(config, tmp_path / "run")


def test_no_configuration(tmp_path):
    with pytest.raises(TrainingError, match="no configuration"):
        read_config(tmp_path / "no.toml")
    (tmp_path / "a.toml").write_text('model = "sam2s-nano"')
    with pytest.raises(TrainingError, match=r"no \[\[stages\]\]"):
        read_config(tmp_path / "a.toml")


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_committed_configurations_are_valid(path):
    assert read_config(path).steps > 0


def test_another_runs_folder_is_refused(config, tmp_path):
    run, _ = start(config, tmp_path / "run")
    run.save()
    config.write_text(config.read_text().replace("seed = 3", "seed = 4"))
    with pytest.raises(TrainingError, match="another run"):
        start(config, tmp_path / "run")


def test_accumulated_batches_are_one_step(config, tmp_path):
    """Two parts of a step teach what the mean of their losses teaches."""
    config.write_text(config.read_text().replace("frames = 1", "frames = 1\naccumulate = 2", 1))
    run, data = start(config, tmp_path / "run")
    parts, _ = next(batches(data, 0, 0))
    assert len(parts) == 2
    assert not torch.equal(parts[0].frames, parts[1].frames)
    whole, _ = run.learner.take_step(parts)
    gradients = {n: p.grad.clone() for n, p in run.learner.model.named_parameters() if p.grad is not None}
    alone = []
    for k, part in enumerate(parts):
        single, _ = start(config, tmp_path / f"run{k}")
        single.learner.config = replace(single.config, clip_gradient=1e9)
        single.learner._learn(part, np.random.default_rng(entropy(3, 1, 0, k)), single.config.stages[0], 2, last=True)
        alone.append({n: p.grad for n, p in single.learner.model.named_parameters() if p.grad is not None})
    name = "memory_encoder.out_proj.weight" if "memory_encoder.out_proj.weight" in gradients else "no_mem_embed"
    added = alone[0][name] + alone[1][name]
    scale = gradients[name].norm() / added.norm()  # the whole step's were clipped
    torch.testing.assert_close(gradients[name], added * scale, rtol=1e-3, atol=1e-6)
    assert whole["dice"] > 0


def test_mixed_precision_and_sam2s_augmentation(config, tmp_path):
    config.write_text(config.read_text().replace("cuts = 0.2", 'cuts = 0.0\nprecision = "bfloat16"\naugmentation = "sam2"'))
    run, data = start(config, tmp_path / "run")
    before = {n: p.detach().clone() for n, p in run.learner.model.named_parameters()}
    losses, _ = run.learner.take_step(data[3])
    assert np.isfinite(list(losses.values())).all()
    assert all(p.dtype == torch.float32 for p in run.learner.model.parameters())
    assert any(not torch.equal(before[n], p) for n, p in run.learner.model.named_parameters())


def test_validation_keeps_the_best_average(config, tmp_path):
    text = config.read_text().replace("steps = 4", "steps = 1") + "\n[validation]\nevery = 1\ncases = 1\nlongest = 60\n"
    config.write_text(text)
    run, _ = start(config, tmp_path / "run")
    assert run.validator is not None
    scores = iter([0.4, 0.6, 0.5])
    run.validator = lambda model: {"laparoscopy": next(scores)}
    kept = []
    for step in range(3):
        run.learner.step = step
        run.validate(lambda line: None)
        kept.append(torch.load(tmp_path / "run" / "best.pt", weights_only=True)["sam2s"]["provenance"])
    assert [k["step"] for k in kept] == [0, 1, 1]
    assert kept[-1]["validation"]["jf"] == 0.6
    assert "0.6" in (tmp_path / "run" / "validation.csv").read_text()
    run.validator = None
    with pytest.raises(TrainingError, match="without validation"):
        run.validate()


def test_layers_of_hiera_learn_slower_the_deeper_they_lie(config):
    settings = replace(read_config(config), layer_decay=0.5, new_rate=3.0)
    model = SAM2S(replace(CONFIGS["sam2.1-tiny"], long_term=True, semantic=True))
    optimizer = make_optimizer(model, settings)
    factor = {id(p): g["factor"] for g in optimizer.param_groups for p in g["params"]}
    by_name = {n: factor[id(p)] for n, p in model.named_parameters()}
    depth = 12
    assert by_name["image_encoder.trunk.blocks.11.norm1.weight"] == 0.5
    assert by_name["image_encoder.trunk.blocks.0.norm1.weight"] == 0.5**depth
    assert by_name["image_encoder.trunk.patch_embed.proj.weight"] == 0.5 ** (depth + 1)
    assert by_name["image_encoder.neck.convs.0.conv.weight"] == by_name["no_mem_embed"] == 1.0
    assert by_name["long_tpos_enc"] == by_name["semantic.cls_token"] == 3.0
    assert len(by_name) == sum(len(g["params"]) for g in optimizer.param_groups)


def test_curves_are_drawn(tmp_path):
    rows = "".join(f"{10 * i},{i / 20},{1 / (i + 1)},nan\n" for i in range(20))
    (tmp_path / "curve.csv").write_text("step,mask_iou,dice,tsl\n" + rows)
    (tmp_path / "validation.csv").write_text("step,laparoscopy,mean\n100,0.4,0.4\n")
    with Image.open(draw_curves(tmp_path)) as picture:
        drawn = np.asarray(picture)
    assert drawn.shape[0] == 2 * 190  # iou, dice, two of validation; what is never known has no panel
    assert (drawn == (30, 90, 170)).all(axis=-1).sum() > 100


@pytest.mark.slow
def test_sam2_becomes_sam2s(config, tmp_path):
    """Starting from SAM 2's weights adds the long-term embedding, as a conditioning one, and the class token."""
    torch.manual_seed(0)
    plain = SAM2S(CONFIGS["sam2.1-tiny"])
    torch.save({"model": plain.state_dict()}, tmp_path / "sam2.pt")
    text = config.read_text().replace('"sam2s-nano"', '"sam2.1-tiny"')
    text = text.replace("seed = 3", f'seed = 3\ninit = "{tmp_path / "sam2.pt"}"\nlong_term = true\nsemantic = true')
    config.write_text(text)
    run, _ = start(config, tmp_path / "run")
    assert torch.equal(run.learner.model.long_tpos_enc, plain.maskmem_tpos_enc[-1:])
    assert torch.equal(run.learner.model.no_mem_embed, plain.no_mem_embed)
    assert run.learner.model.class_names[1] == "hook"
    state = plain.state_dict()
    del state["no_mem_embed"]
    torch.save({"model": state}, tmp_path / "sam2.pt")
    with pytest.raises(TrainingError, match="lacks no_mem_embed"):
        start(config, tmp_path / "run")
    torch.save({"model": state | {"no_mem_embed": plain.no_mem_embed.data / 0}}, tmp_path / "sam2.pt")
    with pytest.raises(ModelError, match="damaged: 1 tensor has numbers that are not finite"):
        start(config, tmp_path / "run")


def recorded_config(config):
    config.write_text(config.read_text().replace("laparoscopy", "recorded"))
    return config


@pytest.fixture
def davis(tmp_path):
    """A DAVIS root of one video, of which every third frame is annotated."""
    case = demo_case(12, size=(60, 80))

    class Sparse:
        shape, objects, frames, masks = case.shape, case.objects, range(0, 12, 3), staticmethod(case.masks)

    root = tmp_path / "davis"
    write_davis(Sparse(), root, "case")
    pictures = root / "JPEGImages" / "case"
    pictures.mkdir(parents=True)
    for t in range(12):
        Image.fromarray(case[t]).save(pictures / f"{t:05d}.jpg")
    return root


def test_real_data_sparse_annotation_included(config, tmp_path, davis):
    run, data = start(recorded_config(config), tmp_path / "run", recorded=[davis])
    clip = data.families["recorded"](0, 6)
    assert clip.shape == (4, 64, 64, 3)
    assert [o.class_name for o in clip.objects] == ["grasper", "hook", "gallbladder"]
    assert clip.masks(2)[1].shape == (64, 64)
    run.learner.take_step(data[4])


@pytest.mark.slow
def test_fine_tuning_on_a_project(config, tmp_path):
    case = demo_case(8, size=(60, 80))
    path = write_video((case[t] for t in range(8)), tmp_path / "case.mp4")
    with open_video(path) as video, Project.create(tmp_path / "case.sam2s", video) as project:
        i = project.add_object("x", "hook").id
        project.write_masks([(t, i, case.masks(t)[2], None) for t in range(8)])
    text = recorded_config(config).read_text().replace("seed = 3", 'seed = 3\ninit = "sam2s-nano"')
    config.write_text(text.replace("image_size = 64", "image_size = 256"))
    run, data = start(config, tmp_path / "run", recorded=[tmp_path / "case.sam2s"])
    built_in = load_model()
    assert run.learner.model.class_names == built_in.class_names
    assert run.averaged_state()["config"]["edge_radius"] == built_in.config.edge_radius > 0
    batch = data[3]
    assert (batch.classes == 1).all()
    run.learner.take_step(batch)


@pytest.mark.slow
def test_only_the_parts_that_are_named_learn(config, tmp_path):
    """A head for first prompts is added to a network that has none, learns alone, and stays when the next run goes on."""
    text = config.read_text().replace("seed = 3", 'seed = 3\ninit = "sam2s-nano"')
    whole = load_model(device="cpu").state_dict()
    old = torch.load(find_weights("sam2s-nano"), weights_only=True)
    old["model"] = {n: w for n, w in old["model"].items() if not n.startswith("interactive.")}
    old["config"].update(interactive=False, prompt_side=0)
    torch.save(old, tmp_path / "old.pt")
    text = text.replace('init = "sam2s-nano"', f'init = "{tmp_path}/old.pt"')
    config.write_text(text.replace("cuts = 0.2", 'cuts = 0.2\ninteractive = true\nparts = ["interactive."]'))
    run, data = start(config, tmp_path / "run")
    decoder = run.learner.model.sam_mask_decoder.state_dict()
    for name, value in run.learner.model.interactive.mask_decoder.state_dict().items():
        assert torch.equal(value, decoder[name]), name
    before = {n: p.clone() for n, p in run.learner.model.state_dict().items()}
    for step in range(3):  # the third is a clip, through which the head's answers are tracked
        run.learner.take_step(data[step])
    run.save()
    changed = {n for n, p in run.learner.model.state_dict().items() if not torch.equal(p, before[n])}
    assert changed
    assert all(n.startswith("interactive.") for n in changed)
    tracked = {n: w for n, w in torch.load(tmp_path / "run" / "model.pt", weights_only=True)["model"].items() if n in whole}
    for name, value in tracked.items():
        assert name.startswith("interactive.") or torch.equal(value, before[name]), name
    config.write_text(text.replace(f"{tmp_path}/old.pt", f"{tmp_path}/run/model.pt"))
    again, _ = start(config, tmp_path / "again")
    assert again.learner.model.config.interactive
    assert all(p.requires_grad for p in again.learner.model.parameters())
    assert load_model(tmp_path / "run" / "model.pt", device="cpu").interactive is not None


@pytest.mark.slow
def test_the_head_alone_learns_of_pictures_what_it_learns_with_all_else(config, tmp_path):
    """Where nothing else learns, the network that tracks is not run; the gradients are the same."""
    text = config.read_text().replace("seed = 3", 'seed = 3\ninit = "sam2s-nano"')
    text = text.replace("clip_gradient = 1.0", "clip_gradient = 1e9").replace("images = 0.2", "images = 1.0")
    gradients, runs_of_the_tracker = [], []
    for parts in ("", 'parts = ["interactive."]'):
        config.write_text(text.replace("cuts = 0.2", f"cuts = 0.2\n{parts}"))
        run, data = start(config, tmp_path / f"run{len(gradients)}")
        calls = []
        run.learner.model.sam_mask_decoder.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        stage = replace(run.config.stages[1], images=1.0, corrections=1)
        batch = next(b for b in map(data.__getitem__, range(6)) if len(b.roles) == 1)
        run.learner.take_step(batch, place=(stage, 0))
        gradients.append({n: p.grad for n, p in run.learner.model.named_parameters() if n.startswith("interactive.")})
        runs_of_the_tracker.append(len(calls))
    assert runs_of_the_tracker[0] > 0
    assert runs_of_the_tracker[1] == 0
    learning = [n for n, g in gradients[1].items() if g is not None and g.any()]
    assert len(learning) > 50
    for name in learning:
        torch.testing.assert_close(gradients[1][name], gradients[0][name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_corrections_of_tracked_frames_teach_the_network_that_tracks(config, tmp_path):
    """First prompts go to the head, so only clicks on later frames reach the other prompt encoder."""
    config.write_text(
        config.read_text().replace("seed = 3", 'seed = 3\ninit = "sam2s-nano"').replace("images = 0.2", "images = 0.0")
    )
    run, data = start(config, tmp_path / "run")
    taught = []
    for share in (0.0, 1.0):
        stage = replace(run.config.stages[1], later_corrections=share)
        run.learner.take_step(data[2], place=(stage, 0))
        taught.append(
            [
                n
                for n, p in run.learner.model.named_parameters()
                if "prompt_encoder.point" in n and p.grad is not None and p.grad.any()
            ]
        )
    assert taught[0]
    assert all(n.startswith("interactive.") for n in taught[0])
    assert any(n.startswith("sam_prompt_encoder.") for n in taught[1])


@pytest.mark.slow
def test_the_head_may_start_from_another_network(config, tmp_path):
    torch.manual_seed(5)
    other, own = SAM2S(load_model(device="cpu").config), torch.load(find_weights("sam2s-nano"), weights_only=True)
    save_atomically(model_state(other, {"provenance": {"step": 7}}, half=False), tmp_path / "other.pt")
    text = config.read_text().replace("seed = 3", 'seed = 3\ninit = "sam2s-nano"\ninteractive = true')
    text = text.replace("cuts = 0.2", f'cuts = 0.2\ninteractive_init = "{tmp_path}/other.pt"')
    config.write_text(text)
    with pytest.raises(TrainingError, match="Segment Anything's: leave out interactive_init"):
        start(config, tmp_path / "run")
    own["model"] = {n: w for n, w in own["model"].items() if not n.startswith("interactive.")}
    own["config"].update(interactive=False, prompt_side=0)
    torch.save(own, tmp_path / "own.pt")
    config.write_text(text.replace('"sam2s-nano"\ninteractive', f'"{tmp_path}/own.pt"\ninteractive'))
    run, _ = start(config, tmp_path / "run")
    decoder = other.sam_mask_decoder.state_dict()
    for name, value in run.learner.model.interactive.mask_decoder.state_dict().items():
        assert torch.equal(value, decoder[name]), name
    torch.testing.assert_close(
        run.learner.model.sam_mask_decoder.iou_token.weight, load_model(device="cpu").sam_mask_decoder.iou_token.weight
    )
    assert run.history[-1] == {"step": 7, "of": "interactive"}
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(TrainingError, match=r"other\.pt is not a checkpoint of sam2s-nano"):
        start(config, tmp_path / "run")


def test_segment_anythings_encoder_learns_only_where_it_is_named(config, tmp_path):
    text = config.read_text().replace("seed = 3", 'seed = 3\ninit = "sam2s-nano"')
    for parts, learns in (("", False), ('parts = ["interactive."]\n', False), ('parts = ["interactive.encoder."]\n', True)):
        config.write_text(text.replace("cuts = 0.2", f"{parts}cuts = 0.2"))
        run, _ = start(config, tmp_path / f"run{len(parts)}")
        head = run.learner.model.interactive
        assert {p.requires_grad for p in head.encoder.parameters()} == {learns}
        assert {p.requires_grad for p in head.mask_decoder.parameters()} == {not learns}


def test_bad_data(config, tmp_path, davis):
    recorded_config(config)
    with pytest.raises(TrainingError, match="no material for"):
        start(config, tmp_path / "run")
    (davis / "JPEGImages" / "case").rename(davis / "JPEGImages" / "other")
    with pytest.raises(FormatError, match="have no pictures"):
        start(config, tmp_path / "run", recorded=[davis])
    (davis / "JPEGImages" / "other").rename(davis / "JPEGImages" / "case")
    for picture in sorted((davis / "JPEGImages" / "case").iterdir())[5:]:
        picture.unlink()
    with pytest.raises(FormatError, match="no picture of the annotated frame 6"):
        start(config, tmp_path / "run", recorded=[davis])


def test_an_unknown_class_is_said(config, tmp_path, davis):
    meta = davis / "meta.json"
    found = meta if meta.exists() else next(davis.rglob("meta.json"))
    found.write_text(found.read_text().replace('"hook"', '"hok"'))
    with pytest.raises(TrainingError, match="unknown class 'hok'"):
        start(recorded_config(config), tmp_path / "run", recorded=[davis])
    config.write_text(config.read_text().replace("seed = 3", 'seed = 3\nunknown_classes = "ignore"'))
    start(config, tmp_path / "run", recorded=[davis])


def test_longer_videos_are_drawn_more_often(davis):
    family = Recorded([davis], 64)
    clip = family.clips[0]
    short = ArrayClip("short", np.zeros((1, 64, 64, 3), np.uint8), np.ones((1, 1, 64, 64), bool), clip.objects[:1])
    family._clips = [short, clip]
    assert [family(seed, 6).name for seed in range(6)] == ["short", "case", "case", "case", "case", "short"]


def test_masks_that_are_all_empty(config, tmp_path, davis):
    for png in davis.rglob("*.png"):
        Image.fromarray(np.zeros((60, 80), np.uint8)).save(png)
    _, data = start(recorded_config(config), tmp_path / "run", recorded=[davis])
    with pytest.raises(TrainingError, match="No clip with a visible object"):
        data[0]


def test_fixed_embeddings_are_orthogonal():
    vectors = fixed_embeddings(["a", "b", "c"], 16)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(3), atol=1e-5, rtol=0)
    with pytest.raises(TrainingError, match="5 classes"):
        fixed_embeddings(list("abcde"), 4)


def test_runs_are_importable_without_a_folder(config, tmp_path):
    run, _ = start(config, tmp_path / "a" / "b")
    assert isinstance(run, TrainingRun)
    run.save()
    assert (tmp_path / "a" / "b" / "model.pt").exists()


def test_several_samples_are_drawn_from_each_video(config, tmp_path):
    config.write_text(config.read_text().replace("cuts = 0.2", "cuts = 0.0\nsamples = 2").replace("batch = 1", "batch = 5"))
    _, data = start(config, tmp_path / "run")
    for step in range(2, 6):
        names = data[step].names
        count = {name: names.count(name) for name in names}
        assert sum(count.values()) == len(names) >= 5
        assert max(count.values()) == 2
