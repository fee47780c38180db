"""What `yanlm study NAME --help` says above the options: a sentence, and commands to start with."""

STEPS = """Quality against the number of steps T (Figs. 4, top, 6, 7).

\b
yanlm study steps --model runs/yanlm --task infill --data builtin:pydoc
yanlm study steps --model flow=runs/a --model gpt2=runs/b --task qa --data builtin:rooms --steps 1,3,8 --seeds 0,1,2
"""
LENGTHS = """Seconds of a generation against the length of the text, all models side by side (Figs. 4, bottom, 9).

\b
yanlm study lengths --preset tiny --lengths 32,64,128,256          models with random weights, of equal size
yanlm study lengths --model runs/a --model runs/b --lengths 32,64
yanlm study lengths --preset paper-transformer --lengths 128,512,2048 --mdlm-steps 500,1000 --device cuda
"""
DIVERSITY = """Quality against diversity of several samples (Fig. 5).

\b
yanlm study diversity --model runs/yanlm --task infill --data builtin:pydoc
yanlm study diversity --model runs/yanlm --data stories.jsonl.gz --steps 1,4 --routing frozen --encoder FOLDER
"""
LATENTS = """Latents of several models side by side (Fig. 3).

\b
yanlm study latents --model runs/a --model runs/b --data builtin:pydoc
"""
AUTOENCODER = """What MMD, scale and noise do to the latents of stage 1, over seeds (Fig. 3, a to d).

\b
yanlm study autoencoder --data builtin:pydoc --only paper
yanlm study autoencoder --data stories.jsonl.gz --steps 2000 --seeds 0 --config small.toml
"""
LANGUAGE = """What yanlm train learns, over seeds: the flow, its variants, and an encoder that answers directly.

\b
yanlm study language --data stories.jsonl.gz --minutes 3.5 --only flow
yanlm study language --data builtin:rooms --minutes 7 --only flow --only "direct encoder"
"""
ABLATION = """Train variants, changing one choice at a time, over seeds. If stopped, run it again to continue.

\b
yanlm study ablation --data builtin:pydoc --minutes 5
yanlm study ablation --data builtin:rooms --task qa --minutes 5 --only K --only "ce = onestep" --config small.toml
"""
AGREEMENT = """Do words that are written at once agree? Puzzles with several right answers, for every method.

\b
yanlm study agreement --task codes                                    under ten minutes on two cores
yanlm study agreement --task codes --setting vocabulary=64 --setting groups=4 --minutes 10 --seeds 0,1,2
yanlm study agreement --task statements:slots=12 --only "masked diffusion" --only flow --steps 1,2,4
"""
TABLE = """Every task and data set, for the flow and every baseline, trained for the same time, over seeds (Table 1).

\b
yanlm study table --set qa=builtin:rooms --methods flow,mlm,gpt2 --first 3 --second 1
yanlm study table --set infill=stories.jsonl --set classify=ag_news/train.jsonl.gz --text stories.jsonl --first 20
"""
DATASETS = """Rows, words and tokens of data sets, next to the paper's (Table 2).

\b
yanlm study datasets --data builtin:rooms --data stories.jsonl.gz
yanlm study datasets --data squad/train.jsonl.gz --tokenizer llama3
"""
