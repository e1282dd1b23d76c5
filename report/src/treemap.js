"use strict";
for (const box of document.querySelectorAll(".treemap")) {
  const root = JSON.parse(box.querySelector("script").textContent);
  const canvas = box.querySelector("canvas"),
    context = canvas.getContext("2d");
  const nav = box.querySelector("nav"),
    found = box.querySelector("output");
  const search = box.querySelector("input"),
    tip = box.querySelector(".treemap-tip");
  const buttons = [...box.querySelectorAll(".treemap-uses button")];
  const labels = buttons.map((button) => button.textContent);
  const HEAD = 17,
    FONT = '12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
  let view = root,
    hovered = null,
    query = "",
    drawn = [],
    colors = null;

  // What is known of an area once: its parent, its colour, and its bytes for each use.
  (function prepare(area, parent) {
    area.parent = parent;
    area.s = area.s ?? parent?.s;
    area.all = labels.map(() => 0);
    for (const [use, bytes] of area.v ?? []) area.all[use] += bytes;
    area.own = [...area.all];
    area.leaves = area.c ? 0 : 1;
    for (const inner of area.c ?? []) {
      prepare(inner, area);
      inner.all.forEach((bytes, use) => {
        area.all[use] += bytes;
      });
      area.leaves += inner.leaves;
    }
  })(root, null);

  const counts = (use) => buttons[use].getAttribute("aria-pressed") === "true";
  const sum = (values) =>
    values.reduce((total, bytes, use) => total + (counts(use) ? bytes : 0), 0);

  function measure(area) {
    area.size = sum(area.all);
    if (!area.c) return;
    area.c.forEach(measure);
    area.c.sort((a, b) => b.size - a.size || (a.n < b.n ? -1 : 1));
  }

  function mark(area, inMatch) {
    const isMatch = inMatch || (query !== "" && area.n.toLowerCase().includes(query));
    area.hits = area.c ? 0 : Number(isMatch);
    area.hitSize = area.c ? 0 : isMatch ? area.size : 0;
    for (const inner of area.c ?? []) {
      mark(inner, isMatch && area !== root);
      area.hits += inner.hits;
      area.hitSize += inner.hitSize;
    }
  }

  function bytes(count) {
    const steps = [
      [2 ** 30, "GiB"],
      [2 ** 20, "MiB"],
      [2 ** 10, "KiB"],
    ];
    const [scale, unit] = steps.find(([scale]) => count >= scale * 0.9995) ?? [1, "B"];
    const value = count / scale;
    if (scale === 1) return `${count} B`;
    const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return `${value.toFixed(digits)} ${unit}`;
  }
  const share = (part, whole) =>
    whole > 0 ? `${((part / whole) * 100).toFixed(part < whole / 100 ? 2 : 1)} %` : "";

  function readColors() {
    const style = getComputedStyle(document.documentElement);
    const rgb = (name) => {
      context.fillStyle = style.getPropertyValue(name).trim();
      return [1, 3, 5].map((at) => parseInt(context.fillStyle.slice(at, at + 2), 16));
    };
    colors = { page: rgb("--page"), card: rgb("--card"), text: rgb("--text"), series: [] };
    for (let series = 0; series < 10; series++) colors.series.push(rgb(`--series-${series}`));
    colors.isDark = light(colors.page) < 0.4;
  }
  const light = ([red, green, blue]) => (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
  const mix = (a, b, part) => a.map((value, at) => Math.round(value + (b[at] - value) * part));
  const css = (color, alpha = 1) => `rgb(${color.join(" ")} / ${alpha})`;

  // Shades of one colour tell neighbours apart.
  function shade(area, depth) {
    let hash = 0;
    for (let at = 0; at < area.n.length; at++) hash = (hash * 31 + area.n.charCodeAt(at)) | 0;
    const base = colors.series[area.s ?? 9];
    if (area.c) return mix(base, colors.page, Math.min(0.72, 0.5 + 0.08 * depth));
    return mix(base, colors.page, (colors.isDark ? 0.42 : 0.3) + (((hash >>> 3) % 8) / 8) * 0.22);
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth,
      height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    readColors();
    context.clearRect(0, 0, width, height);
    context.font = FONT;
    context.textBaseline = "middle";
    drawn = [];
    if (view.size > 0) {
      place(
        view.c ?? [view],
        view.c ? view.size - sum(view.own) : view.size,
        0,
        0,
        width,
        height,
        0,
      );
    }
  }

  // Squarified: rows along the shorter side, each as long as its areas become no longer than wide.
  function place(areas, total, x, y, width, height, depth) {
    let at = 0,
      left = total;
    while (at < areas.length && areas[at].size > 0 && width > 0.5 && height > 0.5) {
      const side = Math.min(width, height),
        scale = (width * height) / left;
      let row = 0,
        last = at,
        worst = Infinity;
      while (last < areas.length && areas[last].size > 0) {
        const next = row + areas[last].size,
          thick = (next * scale) / side;
        const long = (areas[at].size * scale) / thick,
          short = (areas[last].size * scale) / thick;
        const ratio = Math.max(long / thick, thick / long, short / thick, thick / short);
        if (ratio > worst) break;
        [row, worst, last] = [next, ratio, last + 1];
      }
      const thick = Math.min((row * scale) / side, width >= height ? width : height);
      let along = 0;
      for (; at < last; at++) {
        const length = (areas[at].size * scale) / thick;
        if (width >= height) block(areas[at], x, y + along, thick, length, depth);
        else block(areas[at], x + along, y, length, thick, depth);
        along += length;
      }
      if (width >= height) [x, width] = [x + thick, width - thick];
      else [y, height] = [y + thick, height - thick];
      left -= row;
    }
  }

  function block(area, x, y, width, height, depth) {
    if (width < 0.3 || height < 0.3) return;
    const isDim = query !== "" && area.hits === 0,
      color = shade(area, depth);
    const gap = width > 6 && height > 6 ? 0.75 : width > 3 && height > 3 ? 0.4 : 0.1;
    context.globalAlpha = isDim ? 0.16 : 1;
    context.fillStyle = css(color);
    context.fillRect(x + gap / 2, y + gap / 2, width - gap, height - gap);
    drawn.push({ area, x, y, width, height });
    const isOpen = area.c && width > 14 && height > 14;
    const hasHead = isOpen && width > 46 && height > 34;
    if (width > 34 && height > 15 && (hasHead || !isOpen))
      label(area, color, x, y, width, height, hasHead);
    context.globalAlpha = 1;
    if (!isOpen) return;
    const top = hasHead ? HEAD : 2;
    const inner = area.size - sum(area.own);
    if (inner > 0) place(area.c, inner, x + 2, y + top, width - 4, height - top - 2, depth + 1);
  }

  function label(area, color, x, y, width, height, isHead) {
    const dark = [16, 20, 28],
      bright = [255, 255, 255];
    context.fillStyle = css(light(color) > 0.46 ? dark : bright, isHead ? 0.95 : 0.9);
    const room = width - 9,
      size = bytes(area.size);
    const line = y + (isHead ? HEAD / 2 + 1 : 10);
    let text = area.c ? area.n : short(area.n);
    const both = `${text}  ${size}`;
    if (isHead && context.measureText(both).width <= room) text = both;
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.fillText(cut(text, room), x + 5, line);
    if (!isHead && height > 32 && context.measureText(size).width <= room) {
      context.globalAlpha *= 0.75;
      context.fillText(size, x + 5, line + 15);
    }
    context.restore();
  }

  // The last parts of a path, without what generics are given: areas around say the rest.
  function short(name) {
    if (name.length > 2000 || !name.includes("::")) return name;
    let depth = 0,
      plain = "",
      start = 0;
    if (name[0] === "<") {
      const as = name.indexOf(" as ");
      start = 1;
      if (as > 0) {
        // `<T as Trait>::f` is T's `f`.
        for (let at = 0; at < name.length; at++) {
          if (name[at] === "<") depth++;
          if (name[at] === ">" && name[at - 1] !== "-" && --depth === 0) {
            name = `<${name.slice(1, as)}>${name.slice(at + 1)}`;
            break;
          }
        }
        depth = 0;
      }
    }
    for (let at = start; at < name.length; at++) {
      const c = name[at];
      if (c === "<" && !plain.endsWith("operator")) depth++;
      else if (c === ">" && name[at - 1] !== "-" && (depth > 0 || start))
        depth = Math.max(0, depth - 1);
      else if (depth === 0) plain += c;
    }
    const parts = plain.split("::").filter((part) => part !== "");
    const closures = parts.findLastIndex((part) => !part.startsWith("{"));
    return parts.slice(Math.max(0, Math.min(closures, parts.length - 1) - 1)).join("::") || name;
  }

  function cut(text, room) {
    if (text.length > 400) text = text.slice(0, 400);
    if (context.measureText(text).width <= room) return text;
    let [low, high] = [0, text.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    return low < 3 ? "" : `${text.slice(0, low)}…`;
  }

  function path(area) {
    const areas = [];
    for (; area; area = area.parent) areas.unshift(area);
    return areas;
  }

  function crumbs() {
    nav.replaceChildren();
    for (const area of path(view)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = area.n;
      button.onclick = () => show(area);
      if (area === view) button.setAttribute("aria-current", "location");
      if (area === root) nav.append(button);
      else {
        const crumb = document.createElement("span");
        crumb.className = "crumb";
        crumb.append(button);
        nav.append(crumb);
      }
    }
    const size = document.createElement("small");
    size.textContent = bytes(view.size) + (view === root ? "" : `, ${share(view.size, root.size)}`);
    nav.append(size);
    canvas.setAttribute(
      "aria-label",
      `${path(view)
        .map((area) => area.n)
        .join(", ")}: ${size.textContent}`,
    );
  }

  function show(area) {
    view = area;
    hover(null);
    crumbs();
    draw();
  }

  function update() {
    measure(root);
    mark(root, false);
    buttons.forEach((button, use) => {
      button.textContent = `${labels[use]} ${bytes(root.all[use])}`;
    });
    found.textContent =
      query === ""
        ? ""
        : `${root.hits} of ${root.leaves}: ${bytes(root.hitSize)}, ${share(root.hitSize, root.size)}`;
    crumbs();
    draw();
  }

  function under(event) {
    const bounds = canvas.getBoundingClientRect();
    const x = event.clientX - bounds.left,
      y = event.clientY - bounds.top;
    for (let at = drawn.length - 1; at >= 0; at--) {
      const block = drawn[at];
      if (x >= block.x && y >= block.y && x < block.x + block.width && y < block.y + block.height)
        return block;
    }
    return null;
  }

  function hover(block, event) {
    if (hovered !== block) {
      hovered = block;
      tip.hidden = !block;
      canvas.style.cursor =
        block && (block.area.c || block.area.parent !== view) ? "zoom-in" : "default";
      draw();
      if (block) {
        context.strokeStyle = css(colors.text);
        context.lineWidth = 1.5;
        const same = drawn.find((other) => other.area === block.area) ?? block;
        hovered = same;
        context.strokeRect(
          same.x + 1,
          same.y + 1,
          Math.max(0, same.width - 2),
          Math.max(0, same.height - 2),
        );
        describe(block.area);
      }
    }
    if (block && event) {
      const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
      const below = event.clientY + 16 + tip.offsetHeight < window.innerHeight;
      tip.style.left = `${Math.max(4, left)}px`;
      const above = Math.max(4, event.clientY - 12 - tip.offsetHeight);
      tip.style.top = `${below ? event.clientY + 16 : above}px`;
    }
  }

  function describe(area) {
    const name = document.createElement("strong"),
      where = document.createElement("span");
    const size = document.createElement("span"),
      table = document.createElement("table");
    name.textContent = area.n;
    where.textContent = path(area)
      .slice(1, -1)
      .map((area) => area.n)
      .join(" › ");
    size.textContent =
      `${bytes(area.size)}, ${share(area.size, root.size)} of all` +
      (view === root ? "" : `, ${share(area.size, view.size)} of what is shown`) +
      (area.c ? `; ${area.leaves} areas` : "");
    area.all.forEach((count, use) => {
      if (count === 0 || !counts(use)) return;
      const row = table.insertRow();
      row.insertCell().textContent = labels[use];
      row.insertCell().textContent = `${count.toLocaleString("en")} bytes`;
    });
    tip.replaceChildren(name, where, size, table);
  }

  canvas.onpointermove = (event) => hover(under(event), event);
  canvas.onpointerleave = () => hover(null);
  canvas.onclick = (event) => {
    const area = under(event)?.area;
    if (area) show(area.c ? area : (area.parent ?? area));
  };
  canvas.onkeydown = (event) => {
    if (event.key === "Escape" && view.parent) show(view.parent);
    if (event.key === "Enter" && view.c?.[0]?.c) show(view.c[0]);
  };
  search.oninput = () => {
    query = search.value.trim().toLowerCase();
    update();
  };
  search.onkeydown = (event) => {
    if (event.key !== "Escape") return;
    search.value = "";
    search.oninput();
    canvas.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  for (const button of buttons) {
    button.onclick = () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      update();
    };
  }
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  update();
}
