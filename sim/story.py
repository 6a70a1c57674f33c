"""Telling what happened: one sentence for each step, with a tick or a cross in
front of it, coloured on a terminal (but see https://no-color.org)."""

import os
import sys
import textwrap

WIDTH = 78


class Story:
    def __init__(self, out=sys.stdout):
        self.out = out
        tty = out.isatty()
        self.colour = tty and 'NO_COLOR' not in os.environ
        self.tick, self.cross = ('\u2714', '\u2718') if tty else ('ok', 'NOT')

    def _mark(self, mark, code):
        return '\033[%sm%s\033[0m' % (code, mark) if self.colour else mark

    def say(self, sentence):
        self.out.write(textwrap.fill(' '.join(sentence.split()), WIDTH)
                       + '\n')
        self.out.flush()

    def holds(self, label, sentence):
        """'sentence', whose truth has been established."""
        self._step(self._mark(self.tick, '32'), label, sentence)

    def broken(self, label, sentence):
        self._step(self._mark(self.cross, '31'), label, sentence)

    def _step(self, mark, label, sentence):
        lines = textwrap.wrap(' '.join(sentence.split()), WIDTH - 8)
        self.out.write('%s %s  %s\n' % (mark, label,
                                        '\n        '.join(lines)))
        self.out.flush()

    def table(self, head, rows):
        """Numbers to the right, text to the left."""
        cells = [[str(cell) for cell in row] for row in [head] + rows]
        widths = [max(len(row[i]) for row in cells)
                  for i in range(len(head))]
        for row in cells:
            self.out.write('        ' + '   '.join(
                cell.rjust(width) if isinstance(value, (int, float))
                else cell.ljust(width)
                for cell, width, value in zip(row, widths, rows[0])).rstrip()
                + '\n')
        self.out.flush()
