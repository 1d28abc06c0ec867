(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const data = JSON.parse(document.getElementById("data").textContent);
  const hidden = new Set();
  const followers = followCharts(data, (run) => hidden.has(run));

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
