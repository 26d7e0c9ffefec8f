"""Read pages as browsers do, as far as tests need it."""

from html.parser import HTMLParser

VOID = ("meta", "img", "br", "input")


class Page(HTMLParser):
    """Checks that elements are closed in order, and keeps what is in them.

    Attributes
    ----------
    text : str
        All that is to be read.
    tags : set of str
    sources : list of str
        What ``src`` and ``href`` name.
    tables : list of list of list of str
        Texts of the cells, by table and row.
    elements : list of (str, dict)
        Every element with its attributes.
    """

    def __init__(self, text: str):
        super().__init__()
        self.text, self.tags, self.sources, self.tables, self.elements, self._open = "", set(), [], [], [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.elements.append((tag, dict(attributes)))
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script", "title"):
            self.text += data
            if {"td", "th"} & {*self._open}:
                self.tables[-1][-1][-1] += data
