"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const data = JSON.parse(document.getElementById("data").textContent);
  const hidden = new Set();
  const svgNS = "http://www.w3.org/2000/svg";

  // --- Light and dark ---------------------------------------------------------------------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  // --- Runs on and off ----------------------------------------------------------------------
  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const run = button.dataset.run;
      const on = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!on));
      if (on) hidden.add(run); else hidden.delete(run);
      for (const part of document.querySelectorAll(`.chart [data-run="${run}"], .triangle[data-run="${run}"]`)) {
        part.classList.toggle("off", on);
      }
      for (const follow of followers) follow.clear();
    });
  }

  // --- Text is always text, never markup -----------------------------------------------------
  const element = (name, text, className) => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // --- Reading values off a chart --------------------------------------------------------------
  const { width, height, left, right, top, bottom } = data.geometry;
  const followers = [];

  const nearest = (values, wanted) => {
    let best = 0;
    values.forEach((value, at) => {
      if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = at;
    });
    return best;
  };

  const follow = (figure) => {
    const chart = data.charts.find((each) => each.name === figure.dataset.chart);
    const svg = figure.querySelector(".plot svg");
    const readout = figure.querySelector(".readout");
    const layer = document.createElementNS(svgNS, "g");
    svg.append(layer);
    let place = null;
    const x = (edit) => left + ((edit - chart.from) / (chart.to - chart.from)) * (width - left - right);
    const shown = () => chart.lines.filter((line) => !hidden.has(String(line.run)) && line.edits.length);
    const places = () => [...new Set(shown().flatMap((line) => line.edits))].sort((a, b) => a - b);

    const clear = () => {
      place = null;
      layer.replaceChildren();
      readout.replaceChildren();
    };

    const show = (edit) => {
      place = edit;
      layer.replaceChildren();
      const cursor = document.createElementNS(svgNS, "path");
      cursor.setAttribute("class", "cursor");
      cursor.setAttribute("d", `M${x(edit)},${top}V${height - bottom}`);
      layer.append(cursor);
      const parts = [element("span", chart.names.length ? `age ${chart.names[edit]}` : `${edit.toLocaleString("en")} edits`, "where")];
      for (const line of shown()) {
        if (edit > line.edits[line.edits.length - 1]) continue;
        const at = nearest(line.edits, edit);
        if (line.y[at] !== null) {
          const dot = document.createElementNS(svgNS, "circle");
          dot.setAttribute("class", `hit r${line.run % 8}`);
          dot.setAttribute("cx", x(line.edits[at]));
          dot.setAttribute("cy", line.y[at]);
          dot.setAttribute("r", 4.5);
          layer.append(dot);
        }
        const part = element("span", `${line.label} `);
        part.append(element("b", line.text[at], `r${line.run % 8}`));
        parts.push(part);
      }
      readout.replaceChildren(...parts);
    };

    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const inside = ((event.clientX - box.left) / box.width) * width;
      const edit = chart.from + ((inside - left) / (width - left - right)) * (chart.to - chart.from);
      const all = places();
      if (all.length) show(all[nearest(all, edit)]);
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") clear(); });
    figure.addEventListener("keydown", (event) => {
      if (event.target !== figure) return;
      const all = places();
      if (!all.length) return;
      const at = place === null ? -1 : nearest(all, place);
      const steps = { ArrowRight: at + 1, ArrowLeft: at < 0 ? all.length - 1 : at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: all.length - 1 };
      if (event.key === "Escape") clear();
      if (!(event.key in steps)) return;
      event.preventDefault();
      show(all[Math.max(0, Math.min(all.length - 1, steps[event.key]))]);
    });
    figure.addEventListener("blur", clear);
    followers.push({ clear });
  };
  document.querySelectorAll(".chart").forEach(follow);

  // --- Reading shares off a triangle -----------------------------------------------------------
  const followTriangle = (figure) => {
    const cells = data.triangles[figure.dataset.triangle];
    const svg = figure.querySelector("svg");
    const readout = figure.querySelector(".readout");
    let column = cells.edits.length - 1;
    let row = 0;
    const show = () => {
      const first = row * cells.per_row + 1;
      const last = Math.min(first + cells.per_row - 1, cells.edits[cells.edits.length - 1]);
      const share = cells.shares[column][row];
      const what = share === null || share === undefined ? "none learned by then" : `${Math.round(100 * share)} % there`;
      const facts = first === last ? `fact ${first}` : `facts ${first} to ${last}`;
      readout.replaceChildren(element("span", `${facts} after ${cells.edits[column]} edits: `), element("b", what));
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      column = Math.max(0, Math.min(cells.edits.length - 1, Math.floor(((event.clientX - box.left) / box.width) * cells.edits.length)));
      row = Math.max(0, Math.min(cells.rows - 1, Math.floor(((event.clientY - box.top) / box.height) * cells.rows)));
      show();
    });
    svg.addEventListener("pointerleave", () => readout.replaceChildren());
    figure.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
      if (!(event.key in moves)) return;
      event.preventDefault();
      column = Math.max(0, Math.min(cells.edits.length - 1, column + moves[event.key][0]));
      row = Math.max(0, Math.min(cells.rows - 1, row + moves[event.key][1]));
      show();
    });
    figure.addEventListener("blur", () => readout.replaceChildren());
  };
  document.querySelectorAll(".triangle").forEach(followTriangle);

  // --- BibTeX ------------------------------------------------------------------------------------
  const copy = document.getElementById("copy");
  copy.addEventListener("click", async () => {
    const source = document.getElementById("bibtex");
    try {
      await navigator.clipboard.writeText(source.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      copy.textContent = "Selected: copy with the keyboard";
    }
  });
})();
