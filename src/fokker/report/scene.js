// Structures that turn and move. Without WebGL the page keeps its drawings, and nothing here shows.
(function () {
  "use strict";
  const root = document.getElementById("structures");
  const data = JSON.parse(document.getElementById("scene-data").textContent);
  const still = root.querySelector(".still");
  const live = root.querySelector(".live");
  const setColour = { data: "--set-data", iid: "--series-0", sim: "--series-1" };
  const ANGSTROM = 0.01; // of a picometre
  const FRAME_TIME = 70; // ms

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const points = (flat) =>
    data.elements.map((_, i) => flat.slice(3 * i, 3 * i + 3).map((x) => ANGSTROM * x));

  function atoms(flat) {
    const made = points(flat).map(([x, y, z], i) => ({
      elem: data.elements[i], atom: data.names[i], serial: i, x, y, z, bonds: [], bondOrder: [],
    }));
    for (const [i, j] of data.bonds) {
      for (const [a, b] of [[i, j], [j, i]]) {
        made[a].bonds.push(b);
        made[a].bondOrder.push(1);
      }
    }
    return made;
  }

  const byElement = (atom) => data.colours[atom.elem] || data.colours[""];
  const ofChain = {
    stick: { radius: 0.13, colorfunc: byElement },
    sphere: { radius: 0.34, colorfunc: byElement },
  };
  const ofSet = (name) => {
    const color = css(setColour[name]);
    return { stick: { radius: 0.09, color }, sphere: { radius: 0.17, color } };
  };

  function viewerIn(holder) {
    // A wheel over a structure scrolls the page; with Ctrl it zooms.
    const scroll = (event) => { if (!event.ctrlKey) event.stopPropagation(); };
    holder.addEventListener("wheel", scroll, { capture: true, passive: true });
    const viewer = $3Dmol.createViewer(holder, {
      backgroundColor: css("--panel"), antialias: true, disableFog: true, minimumZoomToDistance: 1,
    });
    if (!viewer) throw new Error("no WebGL");
    return viewer;
  }

  function showStates() {
    return data.states.map((state, index) => {
      const viewer = viewerIn(live.querySelector(`[data-state="${index}"]`));
      const models = {};
      for (const name of Object.keys(state.frames)) {
        models[name] = viewer.addModel();
        models[name].addAtoms(atoms(state.frames[name]));
      }
      const paint = () => {
        viewer.setBackgroundColor(css("--panel"));
        for (const name of Object.keys(models)) {
          const shown = live.querySelector(`input[value="${name}"]`).checked;
          models[name].setStyle({}, shown ? ofSet(name) : {});
        }
        viewer.render();
      };
      paint();
      viewer.zoomTo();
      viewer.render();
      return paint;
    });
  }

  function told(index) {
    const parts = [`${Number((index * data.movie.interval).toPrecision(4))} ps`];
    data.variables.forEach(({ name, scale, unit }, i) => {
      const value = scale * data.movie.values[index][i];
      const text = unit === "°" ? `${Math.round(value)}°` : `${value.toPrecision(3)} ${unit}`;
      parts.push(`${name} ${text.replace("-", "−")}`);
    });
    return parts.join("   ");
  }

  function showMovie() {
    const holder = live.querySelector("[data-movie]");
    const button = live.querySelector("[data-play]");
    const slider = live.querySelector("[data-time]");
    const output = live.querySelector("output");
    const marks = live.querySelectorAll(".map .visited circle");
    const here = live.querySelector(".map .here");
    const viewer = viewerIn(holder);
    const model = viewer.addModel();
    model.addAtoms(atoms(data.movie.frames[0]));
    model.setStyle({}, ofChain);
    model.setCoordinates(data.movie.frames.map(points), "array");
    let index = 0;
    let playing = false;
    let visible = true;
    let last = 0;

    const show = (at) => {
      index = at;
      slider.value = at;
      output.textContent = told(at);
      if (here && marks[at]) {
        here.setAttribute("cx", marks[at].getAttribute("cx"));
        here.setAttribute("cy", marks[at].getAttribute("cy"));
      }
      return model.setFrame(at).then(() => viewer.render());
    };
    const play = (on) => {
      playing = on;
      button.textContent = on ? "Pause" : "Play";
      if (on) requestAnimationFrame(tick);
    };
    const tick = (now) => {
      if (!playing) return;
      if (visible && now - last >= FRAME_TIME) {
        last = now;
        show((index + 1) % data.movie.frames.length);
      }
      requestAnimationFrame(tick);
    };
    button.addEventListener("click", () => play(!playing));
    slider.addEventListener("input", () => { play(false); show(Number(slider.value)); });
    new IntersectionObserver((seen) => { visible = seen.at(-1).isIntersecting; }).observe(holder);
    viewer.zoomTo();
    show(0);
    play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
    return () => { viewer.setBackgroundColor(css("--panel")); viewer.render(); };
  }

  live.hidden = false; // A viewer takes its size from an element that is laid out.
  try {
    const paints = showStates();
    if (data.movie) paints.push(showMovie());
    const repaint = () => paints.forEach((paint) => paint());
    live.querySelectorAll("input[name=set]").forEach((box) => box.addEventListener("change", repaint));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    still.hidden = true;
  } catch (error) {
    live.hidden = true;
    console.warn(`structures are not shown in 3-D: ${error}`);
  }
})();
