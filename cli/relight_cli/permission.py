"""`relight may-deploy`: whether a pipeline may touch the stacks now."""

import time
from collections.abc import Callable

from relight_cli import account, standing
from relight_cli.aws import Aws
from relight_cli.complaint import complain
from relight_cli.exit_code import Exit, Refused
from relight_cli.samconfig import Environment
from relight_cli.standing import Answer

_CODES = {Answer.HOME: Exit.DONE, Answer.NOT_NOW: Exit.OTHERWISE, Answer.UNKNOWN: Exit.BAD_INPUT}


def ask(environment: Environment, aws: Aws) -> tuple[Exit, str]:
    """The answer as an exit code and a sentence: 0 yes, 1 no, 2 it cannot be known."""
    try:
        account.check(environment, aws)
        found = standing.judge(standing.read(environment, aws), environment.home_region, time.time())
    except Refused as refused:
        return Exit.BAD_INPUT, f"it cannot be known, {refused.sentence}"
    return _CODES[found.answer], found.sentence


def conduct(find: Callable[[], Environment]) -> int:
    """Say it: yes on stdout, everything else on stderr. An environment that cannot be read leaves it unknown."""
    try:
        environment = find()
    except Refused as refused:
        code, sentence = Exit.BAD_INPUT, refused.sentence
    else:
        code, sentence = ask(environment, Aws())
    if code is Exit.DONE:
        print(sentence)
    else:
        complain(sentence)
    return code
