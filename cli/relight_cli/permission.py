"""`relight may-deploy`: whether a pipeline may touch the stacks now."""

import time
from collections.abc import Callable

from relight_cli import account, standing
from relight_cli.aws import Aws
from relight_cli.complaint import complain
from relight_cli.document import show, show_with
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


def conduct(find: Callable[[], Environment], name: str, *, as_json: bool) -> int:
    """Say it: yes on stdout, everything else on stderr. An environment that cannot be read leaves it unknown.

    As JSON all of it is on stdout.
    """
    try:
        environment = find()
    except Refused as refused:
        code, sentence = Exit.BAD_INPUT, refused.sentence
    else:
        code, sentence = ask(environment, Aws())
    if as_json:
        known = code is not Exit.BAD_INPUT
        said = {"environment": name, "may_deploy": code is Exit.DONE if known else None, "sentence": sentence}
        show(said) if known else show_with(said, Refused(sentence, code=code), code)
    elif code is Exit.DONE:
        print(sentence)
    else:
        complain(sentence)
    return code
