"""Every question, in the order of the guidance."""

from __future__ import annotations

from plinth.planning.questions.question import Question
from plinth.planning.questions.questions_develop import EXPLORE, TRAIN, TUNE
from plinth.planning.questions.questions_general import ABOUT_DATA, GENERAL
from plinth.planning.questions.questions_serve import BATCH, FLOW, ONLINE

QUESTIONS: tuple[Question, ...] = (
    *GENERAL,
    *ABOUT_DATA,
    *EXPLORE,
    *TRAIN,
    *TUNE,
    *BATCH,
    *ONLINE,
    *FLOW,
)
