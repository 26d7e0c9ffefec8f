"""Words and numbers as people read them."""

import doctest

from clusterfirst import text


def test_examples_hold():
    assert doctest.testmod(text).failed == 0


def test_what_is_short_enough_is_left_alone():
    assert text.cut("nerve", 5) == "nerve"
    assert text.a_few("abc") == "a, b, c"
    assert text.a_few([]) == ""
    assert text.one_line("no\n  such file", most=12) == "no such file"


def test_what_a_library_says_is_cut_off_somewhere():
    assert text.one_line(ValueError("key\n" * 300), most=8) == "key key  …"
