/** What came of blind labels: figures in words, what chance would give beside them, and where both differ. */

import { slideUrl } from "../data/api.js";
import { NEUTRAL, cellAt, outline, readTile } from "./tile.js";
import { $, count, density, fit, h, oncePerFrame, percent, plural } from "../ui/dom.js";
import { View } from "../viewer/geometry.js";
import { place } from "../viewer/outlines.js";
import { Tiles } from "../viewer/tiles.js";

/** So many names are given, as `evaluation.clusters.HEADLINE` has it. */
const HEADLINE = 25;

/** Told apart by shade and dash as well as by colour. */
const LINES = {
  same: { colour: "#00c853", width: 2.4, text: "Agree" },
  other: { colour: "#ff1744", width: 3, dash: [5, 3], casing: "#ffffff", text: "Disagree" },
  untold: { colour: NEUTRAL, width: 1.4, dash: [1.5, 3], text: "You could not tell" },
};

const kindOf = ({ label, called }) => (label < 0 ? "untold" : label === called ? "same" : "other");
const share = (value) => (value === null ? "–" : percent(value));

export class Result {
  /** @param {object} infos facts of slides by id */
  constructor(infos) {
    this.infos = infos;
    this.pictures = [];
    this.table = "tile";
  }

  open(told) {
    this.told = told;
    this.close();
    $("#figures").replaceChildren(...this.figures().filter(Boolean));
    this.pictures = told.tiles.map((tile, i) => new Picture(readTile(tile), i, this.infos[tile.slide], told.classes));
    $("#pictures").replaceChildren(legend(), ...this.pictures.map((picture) => picture.element));
  }

  close() {
    for (const picture of this.pictures) picture.close();
    this.pictures = [];
  }

  figures() {
    const { told } = this;
    const confusion = told.cells ? this.confusion() : null;
    return [this.head(), this.efficiency(), this.comparison(), this.names(), this.people(), confusion];
  }

  head() {
    const { told } = this;
    const batches = told.batches.length === 1 ? `Batch ${told.batches[0] + 1}` : `${told.batches.length} batches`;
    const verb = told.untold === 1 ? "does" : "do";
    const cannot = told.untold ? `; ${plural(told.untold, "cell")} could not be told and ${verb} not count` : "";
    const where = `${plural(told.tiles.length, "tile")} of ${plural(told.slides, "slide")}`;
    return h("header", {}, h("h2", { tabindex: "-1", id: "result-title" }, `${batches}: your answers and the clusters`),
      h("p", { class: "muted" }, `${plural(told.cells, "cell")} with a class on ${where}${cannot}.`));
  }

  /** The figure that counts: what a person gets for naming clusters. */
  efficiency() {
    const { efficiency, majority, majority_class: most, units } = this.told;
    if (majority === null) return h("p", {}, "No cell has a class, so there is nothing to compare.");
    const all = units === 1 ? "the only cluster" : `all ${count(units)} clusters`;
    const clusters = (names) => (names === null ? all : `the ${names} largest clusters`);
    const headline = efficiency.find(({ names }) => names === HEADLINE) ?? efficiency.at(-1);
    const chance = Math.max(headline.shuffled, majority);
    const rows = efficiency.map(({ names, value, shuffled }) =>
      h("tr", {}, h("th", { scope: "row" }, clusters(names)), h("td", {}, share(value)), h("td", {}, share(shuffled))));
    return h("section", {},
      h("p", { class: "headline" },
        h("b", { id: "efficiency" }, share(headline.value)),
        h("span", {}, `of the cells would be right if you named ${clusters(headline.names)}`)),
      h("dl", { class: "bars" },
        bar("Naming clusters", headline.value, "own"),
        bar("Cells dealt to clusters at random", headline.shuffled),
        bar(`Calling every cell ${most}`, majority)),
      h("p", {}, h("b", {}, verdict(headline.value, chance, this.told.cells))),
      h("table", { class: "plain" },
        h("caption", { class: "unseen" }, "Label efficiency"),
        h("thead", {}, h("tr", {}, ["You name", "Right", "By chance"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, rows)),
      h("p", { class: "muted" },
        "Each cluster takes the name that most of its cells have in your answers. Few answers flatter: what chance "
        + "gives says how much."));
  }

  /** The paper's figure. */
  comparison() {
    const { agreement: { value, low, high, one_cluster, shuffled }, units, classes } = this.told;
    if (value === null) return null;
    const many = units > classes.length
      ? ` Here ${count(units)} clusters share ${count(classes.length)} ${classes.length === 1 ? "class" : "classes"}, `
        + "so most clusters get none, and are wrong."
      : "";
    return h("section", {}, h("h3", {}, "One cluster a class, tile by tile"),
      h("dl", { class: "bars" },
        bar("Clusters", value, "own", "agreement"),
        bar("If cells swapped clusters", shuffled),
        bar("If each tile were one cluster", one_cluster)),
      h("p", { class: "muted" },
        "As papers count it: in every tile each class goes to one cluster, as well as it can."
        + `${many} Where a tile has few cells it is easy.`
        + (low === null ? "" : ` On other slides of the kind expect ${percent(low)} to ${percent(high)} (95 %).`)));
  }

  names() {
    const { cells, named, right } = this.told.named;
    if (!named) return null;
    return h("section", {}, h("h3", {}, "Names given in the labelling app so far"),
      h("p", {},
        `${count(named)} of these ${plural(cells, "cell")} have a name; of those, `,
        h("b", {}, `${count(right)} (${percent(right / named)})`),
        " have the class that you gave blind."));
  }

  people() {
    if (!this.told.others.length) return null;
    const rows = this.told.others.map(({ who, cells, same, kappa }) =>
      h("tr", {},
        h("th", { scope: "row" }, who),
        h("td", {}, cells ? percent(same / cells) : "–"),
        h("td", {}, kappa === null ? "–" : kappa.toFixed(2)),
        h("td", {}, count(cells))));
    return h("section", {}, h("h3", {}, "You and others"),
      h("table", { class: "plain" },
        h("caption", { class: "unseen" }, "Agreement between people"),
        h("thead", {},
          h("tr", {}, ["Person", "The same", "κ", "Cells"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, rows)),
      h("p", { class: "muted" },
        "Cohen’s κ: 1 is full agreement, 0 what chance gives. Clusters can hardly agree better with you than people "
        + "do."));
  }

  confusion() {
    const box = h("div", { class: "confusion" });
    const show = (which) => {
      this.table = which;
      box.replaceChildren(confusionTable(this.told.confusion[which], this.told.classes));
      for (const button of choice.children) button.setAttribute("aria-pressed", String(button.dataset.which === which));
    };
    const choice = h("div", { class: "segment", role: "group", "aria-label": "Which clusters are called what" },
      [["tile", "Tile by tile"], ["named", `${HEADLINE} largest named`]].map(([which, text]) =>
        h("button", { data: { which }, onclick: () => show(which) }, text)));
    show(this.table);
    return h("section", {}, h("div", { class: "section-head" }, h("h3", {}, "Classes mixed up"), choice), box,
      h("p", { class: "muted" },
        "Rows: what you said. Columns: what the cell’s cluster is called. “None”: a cluster without a class, or no "
        + "cluster."));
  }

  retheme() {
    for (const picture of this.pictures) picture.paint();
  }
}

/** What is better than chance in words; two standard errors of a share of `cells` are the least that counts. */
function verdict(value, chance, cells) {
  const points = 100 * (value - chance);
  const told = `${points.toFixed(points < 10 ? 1 : 0)} percentage points above the better comparison`;
  if (points < 0.5) return "No better than the comparisons: these answers do not show that the clusters know anything.";
  if (value - chance < 2 * Math.sqrt((chance * (1 - chance)) / cells)) {
    return `${told}. With so few cells that may be luck: label another batch.`;
  }
  return `${told}: that much is the merit of the clusters.`;
}

function bar(name, value, kind = "", id = null) {
  return h("div", { class: `bar-row ${kind}`, id }, h("dt", {}, name),
    h("dd", {},
      h("i", { class: "track" }, h("i", { style: { width: `${100 * (value ?? 0)}%` } })),
      h("span", {}, share(value))));
}

function confusionTable(table, classes) {
  const cell = (n, sum, right) => {
    const part = sum ? n / sum : 0;
    return h("td", {
      class: right ? "right" : "",
      style: { "--part": `${Math.round(60 * part)}%` },
      title: sum ? `${percent(part)} of the row` : null,
    }, n ? count(n) : "·");
  };
  const names = [...classes, "none"];
  return h("table", {},
    h("caption", { class: "unseen" }, "Confusion matrix: rows are your answers, columns what clusters are called"),
    h("thead", {},
      h("tr", {},
        h("td", {}),
        names.map((name) => h("th", { scope: "col", title: name }, h("span", {}, name))))),
    h("tbody", {}, table.map((row, i) => {
      const sum = row.reduce((a, b) => a + b, 0);
      return h("tr", {}, h("th", { scope: "row" }, classes[i]), row.map((n, j) => cell(n, sum, i === j)));
    })));
}

/** What the lines mean, drawn as they are drawn on the tiles. */
function legend() {
  const sample = ([name, { text }]) => h("li", {}, h("i", { class: `line ${name}`, "aria-hidden": "true" }), text);
  return h("div", { class: "legend" },
    h("h2", {}, "Tiles"),
    h("ul", {}, Object.entries(LINES).map(sample)),
    h("span", { class: "muted" }, "Click a cell to see both answers."));
}

/** One tile, its cells drawn by whether both agree. */
class Picture {
  constructor(tile, number, info, classes) {
    Object.assign(this, { tile, classes });
    this.canvas = h("canvas", {
      role: "img",
      "aria-label": this.summary(number),
      style: { "aspect-ratio": `${tile.width} / ${tile.height}` },
    });
    this.facts = h("p", { class: "facts", "aria-live": "polite" });
    this.element = h("figure", { class: "picture" },
      this.canvas,
      h("figcaption", {},
        h("p", {}, h("b", {}, `Tile ${number + 1}`), ` ${tile.slide} · ${this.score}`),
        this.differences(),
        this.facts));
    this.soon = oncePerFrame(() => this.paint());
    this.tiles = new Tiles(info, slideUrl(tile.slide), this.soon);
    this.canvas.addEventListener("click", (event) => this.tell(event));
    this.watch = new ResizeObserver(this.soon);
    this.watch.observe(this.canvas);
  }

  get judged() {
    return this.tile.cells.filter((cell) => cell.label >= 0);
  }

  get score() {
    const right = this.judged.filter((cell) => kindOf(cell) === "same").length;
    return `${count(right)} of ${count(this.judged.length)} agree`;
  }

  summary(number) {
    return `Tile ${number + 1} of ${this.tile.slide}: ${this.score}`;
  }

  name(place) {
    return place < 0 ? "none" : this.classes[place];
  }

  /** The most frequent differences in words. */
  differences() {
    const tally = new Map();
    for (const cell of this.judged) {
      if (kindOf(cell) !== "other") continue;
      const text = `you: ${this.name(cell.label)}, cluster: ${this.name(cell.called)}`;
      tally.set(text, (tally.get(text) ?? 0) + 1);
    }
    const most = [...tally].sort((a, b) => b[1] - a[1]).slice(0, 3);
    if (!most.length) return null;
    const listed = most.map(([text, n]) => `${n} × ${text}`).join("; ");
    return h("p", { class: "muted" }, listed, tally.size > 3 ? "; …" : "");
  }

  get view() {
    const { x, y, width, height } = this.tile;
    const { clientWidth, clientHeight } = this.canvas;
    return new View(x + width / 2, y + height / 2, clientWidth / width, clientWidth, clientHeight);
  }

  paint() {
    if (!this.canvas.clientWidth) return;
    fit(this.canvas);
    const context = this.canvas.getContext("2d", { alpha: false });
    const { view } = this, ratio = density();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#eeeef1";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.tiles.draw(context, view, ratio);
    place(context, view, ratio, 0, 0);
    for (const kind of ["untold", "same", "other"]) {
      for (const cell of this.tile.cells) {
        if (kindOf(cell) === kind) outline(context, cell.path, view.scale, LINES[kind]);
      }
    }
  }

  tell(event) {
    const cell = cellAt(this.tile, ...this.view.toPlane(event.offsetX, event.offsetY));
    if (!cell) return;
    this.facts.textContent = cell.label < 0
      ? "You could not tell."
      : `You: ${this.name(cell.label)}. Its cluster is called here: ${this.name(cell.called)}.`;
  }

  close() {
    this.watch.disconnect();
    this.tiles.close();
  }
}
