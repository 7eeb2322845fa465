import logging
import re
import sys

import pytest

from plinth.kit.log import set_up


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_on_standard_error_with_the_time(root_logger, capsys):
    set_up()
    set_up()
    assert root_logger.handlers[0].stream is sys.stderr
    logging.getLogger("plinth.x").info("run %s placed", "r_1")
    logging.getLogger("plinth.x").debug("not shown")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \S+ INFO plinth\.x run r_1 placed\n", captured.err)
