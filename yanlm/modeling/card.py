"""The model card, ``README.md`` of every model folder: data, command, numbers, limits, licence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD_FILE = "README.md"
_HEAD = """---
library_name: transformers
pipeline_tag: fill-mask
license: other
license_name: see-below
tags:
- yanlm
- non-autoregressive
- flow-matching
---
"""
_USE = """## Use

```python
import yanlm                      # from then on transformers knows the model
from yanlm import Writer

[out] = Writer.load("{folder}").write("The <mask> is in the <mask> .", seed=0)
print(out.text)
```

`transformers.AutoModel.from_pretrained` loads it after `import yanlm`, and its `generate(input_ids, attention_mask,
generation_config)` fills masks as ids.
"""
_LIMITS = """## Limits

- It knows what its data says, and no more: facts it writes may be wrong, and biases of the data are its own.
- {length}
- A text and what is written into it must fit into {max_length} tokens.
- It was not tested for any use that concerns people, and there is no filter on what it writes.
"""
_LICENCE = """## Licence

The code of yanlm is under Apache-2.0. These weights come with no licence of their own: whoever publishes them
chooses one that the data named above allows, and says so here.
"""


def model_card(config: Any, record: Mapping[str, Any] | None = None, folder: str = "this folder") -> str:
    """The card of a model, in Markdown.

    Args:
        config: The model's configuration.
        record: The contents of ``run.json``, as far as known.
        folder: What the example loads.

    Example:
        >>> from yanlm.config import YanConfig
        >>> print(model_card(YanConfig(num_experts=6)).partition("---\\n\\n")[2].splitlines()[0])
        # A flow model with 6 experts
    """
    record = record or {}
    experts = f" with {config.num_experts} experts" if config.method == "flow" else ""
    title = f"# A {config.method} model{experts}\n\nIt fills `<mask>` in texts, all masks at once. Made with yanlm.\n"
    longest = config.longest_span
    length = f"It never saw more than {longest} tokens behind one mask." if longest else "Long spans fall apart."
    parts = [
        title if config.method not in ("gpt2", "bart") else title.replace(", all masks at once", ", token by token"),
        _USE.format(folder=folder),
        _training(record),
        _numbers(record.get("report", {})),
        _LIMITS.format(length=length, max_length=config.max_length),
        _LICENCE,
    ]
    return f"{_HEAD}\n" + "\n".join(part for part in parts if part)


def _training(record: Mapping[str, Any]) -> str:
    """What it was trained on, how and for how long."""
    lines = []
    if command := record.get("command"):
        lines.append(f"```bash\n{command}\n```\n")
    data, settings, versions = record.get("data", {}), record.get("settings", {}), record.get("versions", {})
    if data:
        rows = "a stream" if data.get("rows") is None else f"{data['rows']:,} rows"
        lines.append(f"- Data: `{data['name']}`, {rows}; fingerprint `{str(data.get('fingerprint'))[:16]}`")
    if settings:
        lines.append(f"- Preset `{settings['preset']}`, seed {settings['seed']}, tokenizer `{settings['tokenizer']}`")
    for number, stage in record.get("stages", {}).items():
        took = f"{stage['steps']:,} steps, {stage['tokens']:,} tokens, {stage['seconds'] / 60:.1f} minutes"
        lines.append(f"- Stage {number}: {took}")
    if versions:
        lines.append("- " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    return "## Training\n\n" + "\n".join(lines) + "\n" if lines else ""


def _numbers(report: Mapping[str, Any]) -> str:
    """Scores on held-out rows, next to baselines without a model."""
    rows: dict[str, Mapping[str, Any]] = {}
    rows |= {name.replace("_", " "): scores for name, scores in report.get("baselines", {}).items()}
    for steps, scores in report.get("by_steps", {}).items():
        rows[f"model, {steps} steps" if steps.isdigit() else "model"] = scores
    names = [n for n in ("masked_accuracy", "exact_match", "rougeL") if any(n in scores for scores in rows.values())]
    if not names or not report.get("by_steps"):
        return ""
    head = [f"{report['rows']:,} held-out rows, {report['masked_tokens']:,} masked tokens.\n"]
    heads = " | ".join(name.replace("_", " ") for name in names)
    table = [f"| | {heads} |", "|---" * (len(names) + 1) + "|"]
    for label, scores in rows.items():
        cells = [f"{scores[name]:.3f}" if name in scores else "" for name in names]
        table.append(f"| {label} | " + " | ".join(cells) + " |")
    return "## Numbers\n\n" + "\n".join([*head, *table]) + "\n"


class CardedMixin:
    """A model that keeps its card: it is saved with it, and pushed to a hub with it.

    Attributes:
        card: Markdown, or ``None``.
    """

    card: str | None = None

    def take_card(self, folder: Any) -> None:
        """Take the card from a local folder."""
        path = Path(str(folder)) / CARD_FILE
        if path.is_file():
            self.card = path.read_text(encoding="utf-8")

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Save as transformers does, and the card."""
        super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]
        self._write_card(save_directory)

    def _upload_modified_files(self, working_dir: Any, *args: Any, **kwargs: Any) -> Any:
        """Upload a folder, for ``push_to_hub``, with our card in place of the one that transformers generates."""
        self._write_card(working_dir)
        return super()._upload_modified_files(working_dir, *args, **kwargs)  # type: ignore[misc]

    def _write_card(self, folder: Any) -> None:
        if self.card is not None:
            (Path(folder) / CARD_FILE).write_text(self.card, encoding="utf-8")
