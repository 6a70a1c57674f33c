"""Holds what grapnelctl prints with --json against docs/schema, with a
validator that is not ours.

    schemas = Schemas(verbs)        # of `grapnelctl --json help`
    schemas.check(argv, status, out)

Which schema it must be follows from the verb: NOUN list and NOUN show have
theirs in $defs of the noun's file, other verbs with a noun print changes, and
a verb without a noun has a file of its name.  A failure is error.json."""

import glob
import json
import os

import jsonschema

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

# Verbs without a noun that print changes.
CHANGES = ('load', 'diff')
# Verbs that print one document a line.
LINES = ('dump', 'watch')
# Exit statuses that are no failure to do what was asked.
ANSWERS = {'diff': (0, 1), 'check': (0, 1)}


class Wrong(Exception):
    pass


class Schemas:
    def __init__(self, tables, folder=os.path.join(TOP, 'docs/schema')):
        self.files = {}
        for path in sorted(glob.glob(os.path.join(folder, '*.json'))):
            with open(path) as file:
                self.files[os.path.basename(path)] = json.load(file)
        self.used = set()
        self.verbs = tables['verbs']
        options = tables['options'] + [o for v in self.verbs
                                       for o in v['options']]
        self.with_word = {'--' + o['name'] for o in options
                          if 'value' in o and not o['value_optional']}
        self.validators = {}

    def words(self, argv):
        """What of 'argv' are no options."""
        words, argv = [], list(argv)
        while argv:
            word = argv.pop(0)
            if word == '--':
                return words + argv
            if word in self.with_word:
                del argv[:1]
            elif not word.startswith('-') or word == '-':
                words.append(word)
        return words

    def verb(self, argv):
        """The entry of the table that 'argv' runs, or None."""
        words = self.words(argv)
        for v in self.verbs:
            own = v.get('noun', '').split() + [v['verb']]
            if words[:len(own)] == own:
                return v
        return None

    def name(self, argv, status):
        """The schema for what 'argv' prints as it ends with 'status'."""
        verb = self.verb(argv)
        if status not in ANSWERS.get(verb['verb'] if verb else None, (0,)):
            return 'error.json'
        if '--version' in argv or '-V' in argv:
            return 'version.json'
        if '--help' in argv or '-h' in argv:
            return 'help.json'
        if 'noun' not in verb:
            return ('change.json' if verb['verb'] in CHANGES
                    else verb['verb'] + '.json')
        kind = verb['noun'].split()[-1]
        if verb['verb'] in ('list', 'show'):
            return '%s.json#/$defs/%s' % (kind, verb['verb'])
        return 'change.json'

    def validator(self, name):
        if name not in self.validators:
            file = name.partition('#')[0]
            if file not in self.files:
                raise Wrong('there is no docs/schema/' + file)
            self.used.add(file)
            resolver = jsonschema.RefResolver('', {}, store=self.files)
            self.validators[name] = jsonschema.Draft202012Validator(
                {'$ref': name}, resolver=resolver,
                format_checker=jsonschema.FormatChecker(['ipv4', 'ipv6']))
        return self.validators[name]

    def errors(self, name, document):
        return ['%s: %s' % ('/'.join(map(str, e.absolute_path)), e.message)
                for e in self.validator(name).iter_errors(document)]

    def check(self, argv, status, out):
        """Raises Wrong, or jsonschema's or json's exceptions."""
        name = self.name(argv, status)
        verb = self.verb(argv)
        lines = (out.splitlines() if verb and verb['verb'] in LINES
                 and name != 'error.json' else [out])
        for line in lines:
            errors = self.errors(name, json.loads(line))
            # diff, check: a failure that has the status of an answer.
            if errors and status and not self.errors('error.json',
                                                     json.loads(line)):
                errors = []
            if errors:
                raise Wrong('%s does not fit %s: %s' % (
                    ' '.join(argv), name, '; '.join(errors)[:1000]))
