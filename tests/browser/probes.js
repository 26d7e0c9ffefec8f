// What tests ask a page: one object of functions, evaluated in the page by `conftest.probe`.
({
  labelOf(row) {
    const { labels } = clusterfirst.store, number = labels.of(row);
    return number < 0 ? null : labels.classes[number].name;
  },

  labels() {
    const { labels, cells } = clusterfirst.store;
    return Array.from({ length: cells.n }, (_, row) => labels.classes[labels.of(row)]?.name ?? null);
  },

  onScreen(row) {
    const { cells } = clusterfirst.store;
    return clusterfirst.viewer.view.view.toScreen(cells.x[row], cells.y[row]);
  },

  onMap(row) {
    const { cells } = clusterfirst.store;
    return clusterfirst.scatter.pan.view.toScreen(cells.u[row], cells.v[row]);
  },

  lookAt([row, zoom]) {
    const { cells } = clusterfirst.store;
    clusterfirst.viewer.goTo(cells.x[row], cells.y[row], zoom);
  },

  // Cells far from the slide's edge and from others, so that a click means them.
  isolated(wanted) {
    const { cells, infos } = clusterfirst.store, grid = cells.grid(0), { width, height } = infos[0], found = [];
    for (let row = 0; row < cells.n && found.length < wanted; row++) {
      const x = cells.x[row], y = cells.y[row];
      if (x < 400 || y < 400 || x > width - 400 || y > height - 400) continue;
      if (grid.near(x, y, 40).length === 1 && cells.leaf[row] !== cells.noise) found.push(row);
    }
    return found;
  },

  place() {
    const { x, y, scale } = clusterfirst.viewer.view.view;
    return [x, y, scale];
  },

  callMe(who) {
    const headers = { "Content-Type": "application/json", "X-Clusterfirst": "1" };
    return fetch("/api/who", { method: "POST", body: JSON.stringify({ who }), headers }).then(() => null);
  },

  nameless() {
    const controls = "button, input, select, a[href], canvas, [role=listbox], [role=option], [role=radio]";
    const text = (e) => e.getAttribute("aria-label") || e.title || e.textContent.trim();
    const named = (e) => text(e) || e.labels?.length || e.querySelector("img")?.alt;
    const shown = [...document.querySelectorAll(controls)].filter((e) => e.checkVisibility());
    return shown.filter((e) => !named(e)).map((e) => e.outerHTML);
  },

  // Texts whose contrast with what is behind them is below 4.5 : 1.
  faint() {
    const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
      probe.clearRect(0, 0, 1, 1);
      probe.fillStyle = colour;
      probe.fillRect(0, 0, 1, 1);
      return [...probe.getImageData(0, 0, 1, 1).data];
    };
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const behind = (e) => {
      for (; e; e = e.parentElement) {
        const colour = rgb(getComputedStyle(e).backgroundColor);
        if (colour[3] > 200) return colour;
      }
      return [255, 255, 255, 255];
    };
    const ratio = (e) => {
      const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const hasText = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    return [...document.querySelectorAll("body *")]
      .filter((e) => e.checkVisibility() && hasText(e) && !e.closest("button:disabled, .unseen, .cover"))
      .map((e) => [ratio(e), e.outerHTML.slice(0, 120)])
      .filter(([value]) => value < 4.5);
  },

  outside() {
    const scrolls = ".unseen, .list, .classes, .gallery";
    return [...document.querySelectorAll("button, select, input, canvas, h2, dd")]
      .filter((e) => e.checkVisibility() && !e.closest(scrolls))
      .filter((e) => {
        const { left, top, right, bottom } = e.getBoundingClientRect();
        return left < 0 || top < 0 || right > innerWidth + 0.5 || bottom > innerHeight + 0.5;
      })
      .map((e) => e.id || e.outerHTML.slice(0, 80));
  },

  overlapping() {
    const parts = ".bar button, .bar select, .share, .saved, .view-bar button, .view-bar input, .panel-head > *, "
      + ".corner-left, .corner-right, .figures div, .stage, .naming, .list, .detail, .map";
    const shown = [...document.querySelectorAll(parts)].filter((e) => e.checkVisibility());
    const boxes = shown.map((e) => [e, e.getBoundingClientRect()]);
    const across = (r, s) => r.left + 1.5 < s.right && s.left + 1.5 < r.right;
    const meet = (r, s) => across(r, s) && r.top + 1.5 < s.bottom && s.top + 1.5 < r.bottom;
    const start = (e) => e.outerHTML.slice(0, 60);
    const found = [];
    boxes.forEach(([a, r], i) =>
      boxes.slice(i + 1).forEach(([b, s]) => {
        if (!a.contains(b) && !b.contains(a) && meet(r, s)) found.push([start(a), start(b)]);
      }),
    );
    return found;
  },

  async pure() {
    const { encodeRanges, decodeRanges } = await import("/static/data/ranges.js");
    const { inPolygon, roundLength, View } = await import("/static/viewer/geometry.js");
    const { PointGrid } = await import("/static/data/grid.js");
    const { difference, inkOn, nextColour, packed } = await import("/static/ui/colour.js");
    const square = [0, 0, 10, 0, 10, 10, 0, 10];
    const random = ((seed) => () => (seed = (seed * 16807) % 2147483647) / 2147483647)(7);
    const x = Float32Array.from({ length: 2000 }, () => 1000 * random());
    const y = Float32Array.from(x, () => 500 * random());
    const grid = new PointGrid(x, y, 100), all = [...x.keys()];
    const inside = grid.within([200, 100, 400, 300], () => true).sort((a, b) => a - b);
    const brute = all.filter((i) => x[i] >= 200 && x[i] <= 400 && y[i] >= 100 && y[i] <= 300).map((i) => i + 100);
    const far = (i) => (x[i] - 500) ** 2 + (y[i] - 250) ** 2;
    const view = new View(10, 20, 2, 100, 80), under = view.toPlane(13, 57);
    view.zoomAbout(13, 57, 7);
    // Six classes added to the nine that are offered: none looks like another, to those who see red as green neither.
    const classes = clusterfirst.store.project.classes_default.map(({ colour }) => ({ colour }));
    const nearest = [];
    for (let i = 0; i < 6; i++) {
      const colour = nextColour(classes);
      nearest.push(Math.min(...classes.map((c) => difference(colour, c.colour))));
      classes.push({ colour });
    }
    return {
      ranges: encodeRanges([9, 3, 4, 5, 12, 4]),
      back: decodeRanges("0-2,7"),
      none: encodeRanges([]),
      ring: [inPolygon(5, 5, square), inPolygon(11, 5, square)],
      lengths: [roundLength(149), roundLength(0.7), roundLength(5000)],
      grid: inside.length > 0 && JSON.stringify(inside) === JSON.stringify(brute),
      nearest: grid.near(500, 250, 1000)[0] - 100 === all.sort((a, b) => far(a) - far(b))[0],
      stays: view.toPlane(13, 57).every((v, i) => Math.abs(v - under[i]) < 1e-9),
      ink: [inkOn("#ffff00"), inkOn("#0000aa")],
      packed: packed("#0a0b0c").toString(16),
      apart: Math.min(...nearest) > 0.05 || nearest,
    };
  },
})
