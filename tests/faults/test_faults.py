"""Mistakes of users and broken files, a row each: exit code 2, one line that says what to do, nothing half-written."""

import pytest

TRAIN = "yanlm train --config small.toml --device cpu --out out --data "
TOML = "yanlm train --config t.toml --device cpu --out out"
TUNE = "yanlm finetune --steps 2 --eval-rows 4 --device cpu --out out --model flow --task "
FILL = "yanlm generate --device cpu --model "
EVALUATE = "yanlm evaluate --device cpu --out out --model flow --task "
STUDY = "yanlm study "
TOY = "moefm toy --train-steps 2 --points 20 --hidden 8 --steps 1 --out out "

FAULTS = {
    # Data of a training
    TRAIN + "text.txt": "text.txt",
    TRAIN + "empty.txt": "empty.txt",
    TRAIN + "blank.txt": "blank.txt",
    TRAIN + "one.txt": "one.txt",
    TRAIN + "latin.txt": "latin.txt",
    TRAIN + "no.txt.gz": "no.txt.gz",
    TRAIN + "folder": "folder",
    TRAIN + "words.doc": "words.doc",
    TRAIN + "lists.jsonl": "lists.jsonl",
    TRAIN + "other.jsonl": "--text-column",
    TRAIN + "other.jsonl --text-column text": "--text-column",
    TRAIN + "broken.jsonl": "broken.jsonl",
    TRAIN + "table.csv": "--text-column",
    TRAIN + "no.parquet": "no.parquet",
    TRAIN + "builtin:cats": "builtin:rooms",
    TRAIN + "hf:some/set": "HF_HUB_OFFLINE",
    TRAIN + "texts.txt@heavy": "SPEC@0.75",
    TRAIN + "texts.txt@-1": "positive",
    TRAIN + "texts.txt@1 --data questions.jsonl": "@WEIGHT",
    # Options of a training
    TRAIN + "texts.txt --preset huge": "preset must be one of",
    TRAIN + "texts.txt --minutes 0 --steps1 1": "minutes",
    TRAIN + "texts.txt --minutes nan": "minutes must",
    TRAIN + "texts.txt --steps1 0": "steps1 must",
    TRAIN + "texts.txt --steps1 many": "--steps1",
    TRAIN + "texts.txt --lr 0": "lr must",
    TRAIN + "texts.txt --lr inf": "lr must",
    TRAIN + "texts.txt --batch-size 0": "--batch-size must",
    TRAIN + "texts.txt --batch-size 3 --accumulate 2": "multiple of --accumulate",
    TRAIN + "texts.txt --experts 0": "--experts must",
    TRAIN + "texts.txt --denoiser decoder": "denoiser must be one of encoder, trunk",
    TRAIN + "texts.txt --denoiser encoder": "has one stage: give --minutes or --steps1",
    TRAIN + "texts.txt --denoiser encoder --stage 2 --minutes 1": "has one stage",
    TRAIN + "texts.txt --denoiser encoder --ce rollout": "leave out ce",
    TRAIN + "texts.txt --denoiser encoder --minutes 1 --preset paper-mamba": "needs form='slots'",
    TRAIN + "texts.txt --init encoder": "--denoiser encoder to go on with it",
    TRAIN + "texts.txt --backbone rnn": "backbone must be one of",
    TRAIN + "texts.txt --precision fp8": "precision must be one of",
    TRAIN + "texts.txt --tokenizer bpe:many": "bpe:SIZE",
    TRAIN + "texts.txt --tokenizer no/such/tokenizer.json": "give a folder",
    TRAIN + "texts.txt --tokenizer m-tokenizer": "m-tokenizer",
    TRAIN + "texts.txt --init nowhere": "train a model first",
    TRAIN + "texts.txt --init gpt2": "gpt2",
    TRAIN + "texts.txt --init m-cut": "m-cut",
    TRAIN + "texts.txt --baseline t5": "baseline must be one of",
    TRAIN + "texts.txt --stage 3": "stage must be one of",
    TRAIN + "texts.txt --device tpu": "--device must be one of",
    TRAIN + "texts.txt --save-every 0": "--save-every must",
    TRAIN + "texts.txt --log-every -1": "--log-every must",
    TRAIN + "texts.txt --colour red": "--colour",
    TRAIN + "texts.txt --seed -1": "seed must",
    TRAIN + f"texts.txt --seed {2**64}": "seed must be below 2**63",
    "yanlm train --config small.toml --data texts.txt --out texts.txt": "choose another --out",
    "yanlm train --config small.toml --data texts.txt --out texts.txt/run": "choose another --out",
    "yanlm train --config none.toml": "none.toml",
    "yanlm train --config notoml.toml": "notoml.toml",
    "yanlm train --config latin.toml": "latin.toml",
    "yanlm train --config folder": "folder",
    # Resuming
    "yanlm train --resume nowhere": "run.json",
    "yanlm train --resume r-empty": "run.json cannot be used",
    "yanlm train --resume r-list": "run.json cannot be used",
    "yanlm train --resume r-table": "settings",
    "yanlm train --resume r-settings": "run.json cannot be used",
    "yanlm train --resume r-unknown": "colour",
    "yanlm train --resume r-types": "steps1 must be a whole number",
    "yanlm train --resume r-table --seed 3": "--seed cannot change",
    "yanlm finetune --resume nowhere": "give its --out folder",
    "yanlm finetune --resume r-empty": "give its --out folder",
    "yanlm finetune --resume r-list": "give its --out folder",
    "yanlm finetune --resume r-settings": "give its --out folder",
    "yanlm finetune --resume r-unknown": "colour",
    "yanlm finetune --resume r-types": "steps1 must be a whole number",
    "yanlm finetune --resume r-table --task qa": "--task cannot change",
    # Fine-tuning
    "yanlm finetune --task qa --data questions.jsonl": "--model",
    "yanlm finetune --model nowhere --task qa --data questions.jsonl": "train a model first",
    TUNE + "sing --data texts.txt": "task must be one of",
    TUNE + "qa --data question.jsonl": "question.jsonl",
    TUNE + "qa --data texts.txt": "--source-field",
    TUNE + "classify --data labels.jsonl --source-field body": "body",
    TUNE + "classify --data labels.jsonl --target-field label": "--source-field",
    TUNE + "qa --data questions.jsonl --minutes 1": "not both",
    TUNE + "qa --data questions.jsonl --seeds 0": "seeds must",
    TUNE + "qa --data questions.jsonl --patience 0": "patience must",
    TUNE + "qa --data questions.jsonl --lr -1": "lr must",
    TUNE + "classify --data labels.jsonl --pad-to -1": "--pad-to must",
    # Models
    FILL + "nowhere 'a <mask>'": "train a model first",
    FILL + "folder 'a <mask>'": "yanlm train --out DIR makes one",
    FILL + "m-list 'a <mask>'": "m-list",
    FILL + "m-nojson 'a <mask>'": "m-nojson",
    FILL + "m-bert 'a <mask>'": "bert",
    FILL + "m-heads 'a <mask>'": "num_heads",
    FILL + "m-text 'a <mask>'": "d_model",
    FILL + "m-cut 'a <mask>'": "m-cut",
    FILL + "m-empty 'a <mask>'": "m-empty",
    FILL + "m-lost 'a <mask>'": "m-lost",
    FILL + "m-nan 'a <mask>'": "m-nan",
    FILL + "m-notokenizer 'a <mask>'": "m-notokenizer",
    FILL + "m-tokenizer 'a <mask>'": "m-tokenizer",
    FILL + "m-noconfig 'a <mask>'": "config.json",
    "yanlm info --model m-list": "m-list",
    "yanlm info --model m-cut": "m-cut",
    "yanlm info --model nowhere": "train a model first",
    "yanlm info --preset huge": "preset must be one of",
    "yanlm info --preset tiny --model flow": "not both",
    "yanlm inspect --model nowhere": "train a model first",
    "yanlm inspect --model flow": "--data",
    "yanlm inspect --model gpt2 --data texts.txt": "no latents",
    "yanlm inspect --model flow --data text.txt": "text.txt",
    # Generating
    FILL + "flow": "TEXT",
    FILL + "flow ' '": "<mask>",
    FILL + "flow 'a <mask>' --file texts.txt": "--file",
    FILL + "flow --file none.txt": "none.txt",
    FILL + "flow --file latin.txt": "UTF-8",
    FILL + "flow --file empty.txt": "no text",
    FILL + "flow 'a <mask>' --steps 0": "--steps",
    FILL + "flow 'a <mask>' --samples 0": "--samples",
    FILL + "flow 'a <mask>' --length long": "--length",
    FILL + "flow 'a <mask>' --length 0": "--length",
    FILL + "flow 'a <mask>' --routing best": "routing",
    FILL + "flow 'a <mask>' --z0-scale -1": "--z0-scale must",
    FILL + "flow 'a <mask>' --temperature 1": "reread",
    FILL + "mlm 'a <mask>' --z0-scale 0.5": "--z0-scale is an option of the flow",
    FILL + "mlm 'a <mask>' --candidates 2": "candidates is an option of the flow",
    FILL + "mlm 'a <mask>' --perturb 1": "perturb is an option of the flow",
    FILL + "flow 'a <mask>' --perturb 1": "denoiser='encoder'",
    FILL + "encoder 'a <mask>' --perturb -1": "perturb must be a finite number of at least 0",
    FILL + "encoder 'a <mask>' --perturb nan": "perturb must be a finite number of at least 0",
    FILL + "flow 'a <mask>' --candidates 0": "--candidates",
    FILL + "flow 'a <mask>' --candidates 2": "denoiser='encoder'",
    FILL + "flow 'a <mask>' --sampler diffusion": "denoiser='encoder'",
    FILL + "encoder 'a <mask>' --sampler walk": "sampler must be one of",
    FILL + "encoder 'a <mask>' --sampler diffusion --z0-scale 0.5": "--z0-scale is an option of the flow",
    FILL + "encoder 'a <mask>' --sampler diffusion --candidates 2": "candidates",
    FILL + "encoder 'a <mask>' --candidates 2 --reread": "leave out reread",
    FILL + "encoder 'a <mask>' --order margin": "--sampler diffusion",
    FILL + "encoder 'a <mask>' --temperature -1": "temperature",
    FILL + "flow 'a <mask>' --device tpu": "--device must be one of",
    FILL + "flow 'a <mask>' --seed x": "--seed",
    # Evaluating
    EVALUATE + "sing --data texts.txt": "task must be one of",
    EVALUATE + "infill --data text.txt": "text.txt",
    EVALUATE + "qa --data texts.txt": "--source-field",
    EVALUATE + "infill --data texts.txt --split train": "split",
    EVALUATE + "infill --data texts.txt --steps 0": "steps",
    EVALUATE + "infill --data texts.txt --steps few": "--steps",
    EVALUATE + "infill --data texts.txt --seeds 0": "--seeds",
    EVALUATE + "infill --data texts.txt --limit 0": "--limit",
    EVALUATE + "infill --data texts.txt --labels best": "labels",
    EVALUATE + "infill --data texts.txt --length long": "length",
    EVALUATE + "infill --data texts.txt --encoder nowhere": "nowhere",
    EVALUATE + "infill --data texts.txt --candidates 0": "--candidates",
    EVALUATE + "infill --data texts.txt --candidates 2": "denoiser='encoder'",
    EVALUATE + "infill --data texts.txt --sampler diffusion": "denoiser='encoder'",
    EVALUATE + "infill --data texts.txt --sampler walk": "sampler must be one of",
    "yanlm evaluate --model nowhere --task infill --data texts.txt": "train a model first",
    "yanlm evaluate --model flow --task infill --data texts.txt --out texts.txt": "--out",
    # Studies
    STUDY + "steps --model nowhere --data texts.txt --out out": "train a model first",
    STUDY + "steps --model flow --data text.txt --out out": "text.txt",
    STUDY + "steps --model flow --data texts.txt --steps few --out out": "--steps",
    STUDY + "steps --model flow --data texts.txt --task sing --out out": "task must be one of",
    STUDY + "latents --model gpt2 --data texts.txt --out out": "latents",
    STUDY + "ablation --data texts.txt --only nothing --out out": "nothing",
    STUDY + "language --data texts.txt --config notoml.toml --out out": "notoml.toml",
    STUDY + "table --set nothing --out out": "TASK=SPEC",
    STUDY + "lengths --preset tiny --methods t5 --out out": "t5",
    STUDY + "lengths --methods flow --out out": "--preset",
    STUDY + "nothing": "nothing",
    # moefm
    TOY + "--dataset mons": "moons",
    TOY + "--dataset none.csv": "none.csv",
    TOY + "--dataset few.csv": "few.csv",
    TOY + "--dataset words.csv": "line",
    TOY + "--dataset ragged.csv": "line",
    TOY + "--dataset nan.npy": "nan.npy",
    TOY + "--dataset flat.npy": "flat.npy",
    TOY + "--dataset names.npy": "names.npy",
    TOY + "--dataset objects.npy": "objects.npy",
    TOY + "--dataset no.npy": "no.npy",
    TOY + "--experts 0": "--experts",
    TOY + "--sigma nan": "--sigma",
    TOY + "--lr 0": "--lr",
    TOY + "--ema 1": "--ema",
    TOY + "--method ddpm": "--method",
    TOY + "--coupling best": "--coupling",
    TOY + "--routing hot": "--routing",
    TOY + "--solver magic": "solver",
    TOY + "--steps 0": "--steps",
    TOY + "--device tpu": "--device",
    "moefm toy --train-steps 2 --points 20 --out few.csv/x": "--out",
    "moefm toy --colour red": "--colour",
    "moefm datasets --colour red": "--colour",
    "moefm doctor --colour red": "--colour",
    "yanlm doctor --colour red": "--colour",
    "moefm nothing": "nothing",
    "yanlm nothing": "nothing",
}
"""Command lines, and what their one line has to say."""

ENCODER = 'data = "texts.txt"\nsteps1 = 1\n[model]\ndenoiser = "encoder"\n'
FILES = {
    "data = 5": "data must be",
    'data = ["texts.txt", 5]': "data[1] must be a string",
    'data = "texts.txt"\nsteps1 = 1.5': "steps1 must be a whole number",
    'data = "texts.txt"\nsteps1 = "1"': "steps1 must be a whole number",
    'data = "texts.txt"\nminutes = true': "minutes must be a number",
    'data = "texts.txt"\nstage = 1': "stage must be a string",
    'data = "texts.txt"\nweights = 1': "weights must be a list of numbers",
    'data = "texts.txt"\ncolour = "red"': "there is no setting 'colour'",
    'data = "texts.txt"\nmodel = [1]': "model must be a table",
    'data = "texts.txt"\n[preset]\nname = "tiny"': "preset must be a string",
    'data = "texts.txt"\n[model]\ncross_layers = "0"': "model.cross_layers must be a list of whole numbers",
    'data = "texts.txt"\n[model]\ncross_layers = [9]': "cross_layers must lie in",
    'data = "texts.txt"\n[model]\ndtype = "float33"': "model has no setting 'dtype'",
    'data = "texts.txt"\n[model]\nmask_token = 5': "model has no setting 'mask_token'",
    'data = "texts.txt"\n[model]\nd_model = "16"': "model.d_model must be a whole number",
    'data = "texts.txt"\n[model]\nd_model = {a = 1}': "model.d_model must be a whole number",
    'data = "texts.txt"\n[recipe1]\nbatch_size = "8"': "recipe1.batch_size must be a whole number",
    'data = "texts.txt"\n[recipe1]\nlr = "0.1"': "recipe1.lr must be a number",
    'data = "texts.txt"\n[recipe2]\nlr = -0.1': "recipe2: lr must",
    'data = "texts.txt"\n[recipe1]\nmasking = 3': "recipe1.masking must be a table",
    'data = "texts.txt"\n[recipe1.masking]\nrate = 0.5': "recipe1.masking.rate must be a list of 2 numbers",
    'data = "texts.txt"\n[recipe1.masking]\nspans = ["a"]': "recipe1.masking.spans[0] must be a whole number",
    'data = "texts.txt"\n[stage1]\nmmd = "much"': "stage1.mmd must be a number",
    'data = "texts.txt"\n[stage2]\nobjective = 2': "stage2.objective must be a string",
    'data = "texts.txt"\n[stage2]\nbeta = [1]': "stage2.beta must be a list of 2 numbers",
    'data = "texts.txt"\n[[recipe1]]\nlr = 0.1': "recipe1 must be a table",
    'data = "texts.txt"\n[denoising]\nplain = 0.5': "denoising is of a flow with denoiser='encoder'",
    'data = "texts.txt"\n[model]\nscope = "sentence"': "scope='sentence' needs denoiser='encoder'",
    ENCODER + '[denoising]\nplain = "half"': "denoising.plain must be a number",
    ENCODER + "[denoising]\nplain = 1.5": "denoising: plain must",
    ENCODER + '[denoising]\ntimes = "now"': "denoising: times must be one of",
    ENCODER + '[denoising]\ncolour = "red"': "denoising has no setting 'colour'",
    ENCODER + '[stage2]\nce = "rollout"': "stage2 is of a flow behind its encoder",
    ENCODER + "[recipe2]\nlr = 0.1": "recipe2 is of a flow behind its encoder",
    ENCODER + "expert_layer = 9": "expert_layer must lie in 0 ..",
    ENCODER + "latent_dim = -1": "model: latent_dim must",
    ENCODER + "perturb = -0.5": "model: perturb must",
    ENCODER + "slot_input = 'noise'": "model: slot_input must",
    ENCODER + 'experts = "trunk"': "experts='trunk' needs denoiser='trunk'",
}
"""Files of settings, and what the one line has to say."""


def check(seen, words):
    code, out, err, changed = seen
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert "Traceback" not in err and len(lines) == 1 and lines[0] == err.splitlines()[-1], err
    assert words in lines[0]
    assert code == 2, lines[0]
    assert out == "" and changed == []


@pytest.mark.parametrize("line", FAULTS)
def test_a_mistake_is_one_line_and_leaves_nothing(fault, line):
    check(fault(line), FAULTS[line])


@pytest.mark.parametrize("toml", FILES)
def test_a_wrong_setting_is_one_line_and_leaves_nothing(fault, toml):
    check(fault(TOML, toml), FILES[toml])


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
def test_standard_input_without_a_text_is_one_line(fault, content):
    check(fault(FILL + "flow -", stdin=content), "text" if content != b"\xff\xfe\x00" else "UTF-8")


def test_there_are_many_faults():
    assert len(FAULTS) + len(FILES) >= 80
