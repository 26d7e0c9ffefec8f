/** Labels as files: written for the workflow and for QuPath, taken in from there. */

import { groupUrl, post } from "../data/api.js";
import { ask, complain, say } from "../ui/dialogs.js";
import { $, h } from "../ui/dom.js";

/** Write labels to files, and say what to do with them. @param {"labels"|"qupath"} format */
export async function exportLabels(store, format = "labels") {
  const [text, buttons] = {
    labels: [
      "Run snakemake labels, with the same --configfile as your run (the demo: config/demo.yaml): "
        + "it gives every cell its label, in cells.parquet, GeoJSON and pictures.",
      [["Cells for QuPath", "qupath"], ["Done", null, "primary"]],
    ],
    qupath: [
      "In QuPath: File, Import objects from file. What you change there comes back with Import.",
      [["Done", null, "primary"]],
    ],
  }[format];
  try {
    const { files } = await post(`${groupUrl(store.group.id)}/export`, { format });
    $("#said").textContent = `Labels written to ${files.join(", ")}`;
    const list = h("ul", { class: "files" }, files.map((file) => h("li", {}, h("code", {}, file))));
    const next = await ask("Labels written", [h("p", {}, text), list], buttons);
    if (next) await exportLabels(store, next);
  } catch (error) {
    complain(error);
  }
}

/** Take labels of the slide shown from a file. @param {() => Promise} reload fetches the whole state */
export async function importLabels(store, file, reload) {
  if (!file) return;
  try {
    const slide = store.group.slides[store.slide].id;
    // The server takes no compressed files: nobody knows their size before they are opened.
    const packed = file.name.endsWith(".gz");
    const content = packed ? new Response(file.stream().pipeThrough(new DecompressionStream("gzip"))) : file;
    const text = content.text();
    const found = await post(`${groupUrl(store.group.id)}/import?slide=${encodeURIComponent(slide)}`, await text);
    await reload();
    // With regions there is more to read: who has labels of what, and what was left out.
    say(found.message ?? `${file.name} imported.`, found.tally ? { lasts: 20000 } : {});
  } catch (error) {
    complain(error);
  }
}
