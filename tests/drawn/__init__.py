"""Drawn programs: Python source of 5 to 40 statements over arrays, run by plain NumPy and compiled, and compared call by call.

world.py     the arrays and numbers that a program gets, closes over, and finds changed at the next call
program.py   a program: its source text, and how it is loaded
draw.py      what a statement can be made of: names, indices, numbers
reads.py, writes.py, control.py   the kinds of statements
grow.py      a program drawn statement by statement, each run by NumPy to know what it gives
compare.py, noise.py   when two results agree; how far rounding alone can move a result
runner.py    three calls of both, what must hold
smooth.py    gradients of drawn smooth programs against differences
shrink.py    the least program that still fails
"""
