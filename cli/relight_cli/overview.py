"""Both Regions at a glance: looked at once, and shown."""

import json
import time
from collections.abc import Callable

from relight_cli.board import console, drawn, is_live, plain, sections, tone_of
from relight_cli.deployed import Deployed
from relight_cli.exit_code import Exit, Refused
from relight_cli.sight import Hasty, Onlooker, Sight, Unseen
from relight_cli.situation import Situation, as_document
from relight_cli.surroundings import how_called

_OF_ALL = (Exit.NO_CREDENTIALS, Exit.EXPIRED, Exit.WRONG_ACCOUNT)
"""Reasons that lie with whoever asks: they count before whatever a Region says."""


def looked(onlooker: Onlooker, *more: Callable[[], object]) -> Situation:
    """One look at both Regions; `more` is asked beside them."""
    began = time.monotonic()
    sights = onlooker.look(*more)
    took = time.monotonic() - began
    return Situation(onlooker.deployed.application, onlooker.clock(), took, sights)


def require_one(situation: Situation) -> None:
    """Refused where no Region has answered: by the one reason where it is the same for all."""
    silent = [one.silent for one in situation.sights if one.silent is not None]
    if len(silent) < len(situation.sights):
        return
    reasons = [part for one in situation.sights for _, part in one.unseen]
    for code in _OF_ALL:
        of_all = next((reason for reason in reasons if reason.code is code), None)
        if of_all is not None:
            raise Refused(of_all.why, code=code)
    if len({reason.code for reason in silent}) == 1:
        raise Refused(_told(situation.sights), do=_next(silent[0].code), code=silent[0].code)
    raise Refused(_told(situation.sights), do=_next(Exit.NO_ANSWER), code=Exit.NO_ANSWER)


def _told(sights: tuple[Sight, ...]) -> str:
    reasons = {one.region: one.silent for one in sights}
    said = "; ".join(f"{region}: {reason.why}" for region, reason in reasons.items() if isinstance(reason, Unseen))
    return f"neither Region could be seen ({said})"


def _next(code: Exit) -> str:
    return {
        Exit.NO_LEDGER: "check application, Regions and account",
        Exit.DENIED: "sign in as somebody who may read the ledger",
    }.get(code, "check this machine's way to AWS, and try again")


def conduct(deployed: Deployed, *, as_json: bool) -> int:
    """Look, and show it: the exit code. Refused where no Region answers."""
    aws = Hasty()
    aws.ask_for_code()
    situation = looked(Onlooker(deployed, aws))
    require_one(situation)
    if as_json:
        print(json.dumps(as_document(situation), indent=2))
        return Exit.DONE
    parts, where = sections(situation, how_called()), console()
    if is_live(where):
        where.print(drawn(situation.sentence, tone_of(situation), parts, where.width))
    else:
        print(plain(situation.sentence, parts))
    return Exit.DONE
