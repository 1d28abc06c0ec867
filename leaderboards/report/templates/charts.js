"use strict";
// What pages with charts share. Text is always text, never markup.
const element = (name, text, className) => {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};

// Reading values off charts, by pointer and arrow keys.
const followCharts = ({ geometry, charts }, isHidden, colour = (run) => run % 8) => {
  const { width, height, left, right, top, bottom } = geometry;
  const svgNS = "http://www.w3.org/2000/svg";
  const followers = [];

  const nearest = (values, wanted) => {
    let best = 0;
    values.forEach((value, at) => {
      if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = at;
    });
    return best;
  };

  const follow = (figure) => {
    const chart = charts.find((each) => each.name === figure.dataset.chart);
    const svg = figure.querySelector(".plot svg");
    const readout = figure.querySelector(".readout");
    const layer = document.createElementNS(svgNS, "g");
    svg.append(layer);
    let place = null;
    const x = (edit) => left + ((edit - chart.from) / (chart.to - chart.from)) * (width - left - right);
    const shown = () => chart.lines.filter((line) => !isHidden(String(line.run)) && line.edits.length);
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
          dot.setAttribute("class", `hit r${colour(line.run)}`);
          dot.setAttribute("cx", x(line.edits[at]));
          dot.setAttribute("cy", line.y[at]);
          dot.setAttribute("r", 4.5);
          layer.append(dot);
        }
        const part = element("span", `${line.label} `);
        part.append(element("b", line.text[at], `r${colour(line.run)}`));
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
  return followers;
};
