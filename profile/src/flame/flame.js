"use strict";
(() => {
  const svg = document.querySelector("svg.flame");
  const area = svg.querySelector("svg.frames");
  const details = svg.querySelector(".details");
  const frames = [...area.querySelectorAll("g.frame")].map((group) => {
    const [name, shares] = group.querySelector("title").textContent.split("\n");
    return {
      group, name, shares,
      rect: group.querySelector("rect"),
      text: group.querySelector("text"),
      x: Number(group.dataset.x),
      width: Number(group.dataset.w),
      row: Number(group.dataset.row),
    };
  });
  const CHAR = 7.23;
  // What is less than this is a rounding error.
  const NOTHING = 1e-7;
  let chosen = frames[0];
  if (!chosen) return;

  function cut(name, pixels) {
    const room = Math.max(0, Math.floor((pixels - 6) / CHAR));
    const chars = [...name];
    if (chars.length <= room) return name;
    return room < 3 ? "" : chars.slice(0, room - 1).join("") + "…";
  }

  function draw() {
    const pixels = area.getBoundingClientRect().width || svg.getBoundingClientRect().width * 0.99;
    const end = chosen.x + chosen.width;
    for (const frame of frames) {
      const isAbove = frame.row < chosen.row;
      const holds = frame.x <= chosen.x + NOTHING && frame.x + frame.width >= end - NOTHING;
      const inside = frame.x >= chosen.x - NOTHING && frame.x + frame.width <= end + NOTHING;
      const shown = isAbove ? holds : inside;
      frame.group.style.display = shown ? "" : "none";
      frame.group.classList.toggle("above", isAbove);
      if (!shown) continue;
      const x = isAbove ? 0 : (frame.x - chosen.x) / chosen.width;
      const width = isAbove ? 1 : frame.width / chosen.width;
      frame.rect.setAttribute("x", 100 * x + "%");
      frame.rect.setAttribute("width", 100 * width + "%");
      frame.text.setAttribute("x", 100 * x + "%");
      frame.text.textContent = cut(frame.name, width * pixels);
    }
  }

  function choose(frame) {
    chosen = frame;
    draw();
  }

  function search() {
    const wanted = prompt("Functions whose names contain:", "");
    if (wanted === null) return;
    let sum = 0;
    // Frames come after their callers: a found one in another found one does not count again.
    let last = { x: 0, end: 0 };
    for (const frame of frames) {
      const found = wanted !== "" && frame.row > 0 && frame.name.includes(wanted);
      frame.group.classList.toggle("found", found);
      const end = frame.x + frame.width;
      if (found && frame.x >= last.end - NOTHING) {
        sum += frame.width;
        last = { x: frame.x, end };
      }
    }
    details.textContent = wanted === "" ? " " : wanted + ": " + (100 * sum).toFixed(1) + " %";
  }

  for (const frame of frames) {
    frame.group.addEventListener("click", () => choose(frame));
    frame.group.addEventListener("mouseover", () => {
      details.textContent = frame.name + " (" + frame.shares + ")";
    });
    frame.group.addEventListener("mouseout", () => { details.textContent = " "; });
  }
  svg.querySelector(".reset").addEventListener("click", () => choose(frames[0]));
  svg.querySelector(".search").addEventListener("click", search);
  window.addEventListener("resize", draw);
  draw();
})();
