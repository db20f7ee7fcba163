"""Each fault that can be asked for can be inflicted; what each does is rehearsed."""

from lab import fault
from lab.options import Fault, Lost


def test_each_fault_and_each_way_of_being_lost_is_known() -> None:
    assert fault._FAULTS.keys() == set(Fault)
    assert fault._HOW.keys() == set(Lost)
