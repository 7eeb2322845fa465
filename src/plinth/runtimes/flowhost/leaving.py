"""Keep a flow's own code from ending the server by `sys.exit`: only its request fails.

asyncio lets SystemExit and KeyboardInterrupt of any task end the whole loop, whoever waits for it.
So each task turns them into an exception that travels as every other does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeAlias

_Code: TypeAlias = Coroutine[Any, Any, Any] | Generator[Any, Any, Any]


class Left(BaseException):
    """What a flow's code did instead of answering: it asked the process to end.

    Not an Exception, so that no framework takes it for a failure that it has words for.
    """


def keep_serving() -> None:
    """Make the tasks of the running loop such ones, from now on."""
    asyncio.get_running_loop().set_task_factory(_task)


def has_left(error: BaseException) -> bool:
    """Tell whether the error is, or holds, a wish that the process ends."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(has_left, error.exceptions))
    return isinstance(error, Left | SystemExit | KeyboardInterrupt)


def said_of(error: BaseException) -> str:
    """Say in a sentence what the flow's code did."""
    if isinstance(error, BaseExceptionGroup):
        return said_of(next(each for each in error.exceptions if has_left(each)))
    if isinstance(error, Left):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "the flow's code raised KeyboardInterrupt instead of answering"
    return f"the flow's code called `sys.exit({error})` instead of answering"


def _task(loop: asyncio.AbstractEventLoop, code: _Code, **named: Any) -> asyncio.Task[Any]:
    return asyncio.Task(_kept(code), loop=loop, **named)


async def _kept(code: _Code) -> Any:
    try:
        return await code  # type: ignore[misc]
    except (SystemExit, KeyboardInterrupt) as err:
        raise Left(said_of(err)) from err
