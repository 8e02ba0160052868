"""What the public headers declare: shared by check-headers and check-symbols."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def public_headers(root):
    """Paths of include/brood/*, relative to include/, sorted."""
    folder = os.path.join(root, 'include', 'brood')
    return ['brood/' + name for name in sorted(os.listdir(folder)) if name.endswith(('.h', '.hpp'))]


def read(root, header):
    with open(os.path.join(root, 'include', header), encoding='utf-8') as file:
        return file.read()


def declarations(text):
    """(line, name, comment) of each BROOD_API declaration; comment is the one right before it, or ''."""
    token = re.compile(r'(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<line>^[ \t]*#(?:[^\n]*\\\n)*[^\n]*)'
                       r'|(?P<api>\bBROOD_API\b(?P<rest>[^;{]*))|(?P<other>\S)', re.DOTALL | re.MULTILINE)
    comment = ''
    for match in token.finditer(text):
        if match.group('comment'):
            comment = match.group('comment')
        elif match.group('api'):
            rest = re.sub(r'/\*.*?\*/', ' ', match.group('rest'), flags=re.DOTALL)
            name = re.search(r'\b(brood_\w+)\s*\(', rest)
            if not name:  # a variable: its name comes last
                name = re.search(r'\b(\w+)\s*(?:\[[^\]]*\]\s*)*$', rest)
            line = text.count('\n', 0, match.start()) + 1
            yield line, name.group(1) if name else '?', comment
            comment = ''
        else:
            comment = ''
