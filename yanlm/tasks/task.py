"""The tasks by name: those of the library, and others that were registered."""

from __future__ import annotations

from yanlm.data.rows import DataError
from yanlm.tasks.builtin import classify, completion, infill, qa, sentence
from yanlm.tasks.definition import Task as Task

TASKS: dict[str, Task] = {module.TASK.name: module.TASK for module in (infill, sentence, completion, qa, classify)}
"""Masked spans of a text, a whole sentence inside it, its last word, the answer to a question, the label of a text."""


def register(task: Task) -> Task:
    """Register a task under its name, for the library and the commands of this process.

    Raises:
        ValueError: A task with this name exists.
    """
    if task.name in TASKS:
        raise ValueError(
            f"there is a task {task.name} already; choose another name, or unregister({task.name!r}) first"
        )
    TASKS[task.name] = task
    return task


def unregister(name: str) -> None:
    """Forget a task, if there is one with this name."""
    TASKS.pop(name, None)


def get_task(task: str | Task) -> Task:
    """The task of a name; a task is returned as it is, registered or not.

    Raises:
        DataError: There is none of this name.

    Example:
        >>> get_task("completion").main
        ('exact_match',)
    """
    if isinstance(task, Task):
        return task
    if task not in TASKS:
        own = "one of your own is known to the program that registers it"
        raise DataError(f"task must be one of {', '.join(TASKS)}, got {task!r}; {own}")
    return TASKS[task]
