"""What each kind of question asks, in words that a lawyer can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from common.messages.catalogue import Operation

PHASE_WORDS: Mapping[Operation, str] = {
    Operation.DESCRIBE: "whether the site is ready, and with which software",
    Operation.PREPARE: "how many patients were screened, left out for which reason, and included",
    Operation.GUARD: "how many patients stand behind what is asked next",
    Operation.AGREEMENT: "how far repeated readings of the same scans agree",
    Operation.READING_MEANS: "means of image features in repeated readings",
    Operation.READING_SUMS: "spreads of image features between repeated readings",
    Operation.COHORT: "the description of the patients (Table 1)",
    Operation.SETUP: "means and spreads of a regression's variables",
    Operation.NEWTON: "one step of fitting regressions",
    Operation.MAGNITUDES: "how large image features or columns are",
    Operation.SCALING: "their means and spreads",
    Operation.PRESCREEN: "how each goes with the outcome",
    Operation.GRAM: "how they go with each other (to select among them)",
    Operation.PATH: "one step of selecting among them",
    Operation.RIDGE: "one step of fitting a support vector machine",
    Operation.HELD_OUT: "how well it does on patients that were left out",
    Operation.TRAIN: "changes of a network's weights after training",
    Operation.VALIDATE: "how well a network does after a round",
    Operation.TRAIN_LOCAL: "that a model was trained here alone",
    Operation.RELEASE: "a model of this hospital's patients alone",
    Operation.SCORE: "that patients were scored by a model; the scores stay",
    Operation.GRID: "how many patients have scores in each bin, to agree on bins",
    Operation.EVALUATE: "how many patients with and without the outcome have which score",
    Operation.CALIBRATE: "one step of comparing risks with what happened",
    Operation.COMPARE: "how two models' scores of the same patients differ",
    Operation.WEIGHT: "how many patients a network is trained on",
    Operation.EXPLAIN: "attention maps (simulated patients only)",
    Operation.ATTENTION: "sums of attention maps and of lesions' outlines over patients",
}


def explain_phases(phases: Iterable[str]) -> Iterator[str]:
    """A line for each kind of question among these phases, as the ledger names them, each once.

    Parameters
    ----------
    phases : iterable of str
        Each begins with the question's name.
    """
    named = {phase.partition(" ")[0] for phase in phases}
    for operation, words in PHASE_WORDS.items():
        if operation.value in named:
            yield f"{operation.value}: {words}"
