// The line below an audio element: what is played moves along it, and a part of it that is clicked is played.
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 64;

let answered = null;  // the key of the sound whose answer was announced last

const make = (name, attributes = {}, text = "") => {
  const element = name === "svg" || name === "rect" || name === "line"
    ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
};

const bringIntoView = (answer) => {
  const top = answer?.getBoundingClientRect().top ?? 0;
  if (0 <= top && top < 0.6 * window.innerHeight) return;
  const isCalm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  answer?.scrollIntoView({ block: "start", behavior: isCalm ? "auto" : "smooth" });
};

export default function ({ data, parentElement }) {
  parentElement.serStop?.();
  const root = parentElement.querySelector(".player");
  const frame = (parentElement.host ?? parentElement).closest('[class*="st-key-player-"]');
  const audio = () => frame?.querySelector("audio");
  const { duration, edges, peaks, parts } = data;
  let stopAt = null;
  let shown = -1;
  let tick = 0;

  const partAt = (second) => parts.findIndex((part) => part.start <= second && second < part.end);
  const wave = make("svg", { viewBox: `0 0 ${duration} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  peaks.forEach((peak, place) => {
    const [start, end] = [edges[place], edges[place + 1]];
    const part = parts[partAt((start + end) / 2)];
    const height = Math.max(1.5, peak * (HEIGHT - 4));
    wave.append(make("rect", {
      x: start, width: Math.max(0, (end - start) * 0.72), y: (HEIGHT - height) / 2, height,
      class: part ? "speech" : "silence", ...(part ? { fill: part.colour } : {}),
    }));
  });
  const head = make("line", { class: "head", x1: 0, x2: 0, y1: 0, y2: HEIGHT });
  wave.append(head);

  const list = make("ol", { class: "parts" });
  const buttons = parts.map((part, place) => {
    const button = make("button", { type: "button", "aria-label": `Play ${part.time}: ${part.emotion}, ${part.percent}` });
    button.append(make("span", { class: "dot", style: `background:${part.colour}` }), make("span", { class: "time" },
      part.time.replace(" to ", "–")), make("span", { class: "emotion" }, part.emotion),
      make("span", { class: "percent" }, part.percent));
    button.addEventListener("click", () => play(part.start, part.end));
    const item = make("li");
    item.append(button);
    list.append(item);
    return button;
  });
  const trouble = make("p", { class: "trouble", role: "status" });
  const announcement = make("p", { class: "announcement", role: "status" });
  root.replaceChildren(wave, ...(parts.length > 1 ? [list] : []), trouble, announcement);
  if (data.key && data.key !== answered) {
    answered = data.key;
    // A moment later: screen readers read what changes in a region that is there.
    setTimeout(() => { announcement.textContent = data.said; }, 300);
    bringIntoView(document.querySelector(".ser-answer"));
  }

  const play = (start, end) => {
    const sound = audio();
    if (!sound) return;
    stopAt = end;
    sound.currentTime = start;
    sound.play().catch(() => {});
  };
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    const second = ((event.clientX - box.left) / box.width) * duration;
    const part = parts[partAt(second)];
    play(second, part ? part.end : null);
  });

  const show = () => {
    const sound = audio();
    if (!sound) return;
    const second = sound.currentTime;
    if (stopAt !== null && second >= stopAt) {
      stopAt = null;
      sound.pause();
    }
    head.setAttribute("x1", second);
    head.setAttribute("x2", second);
    wave.classList.toggle("started", second > 0);
    const place = sound.paused ? -1 : partAt(second);
    if (place !== shown) {
      buttons[shown]?.removeAttribute("aria-current");
      buttons[place]?.setAttribute("aria-current", "true");
      if (buttons[place] && list.scrollHeight > list.clientHeight) list.scrollTop = buttons[place].offsetTop - 60;
      shown = place;
    }
  };
  const follow = () => {
    show();
    if (audio()?.paused === false) tick = requestAnimationFrame(follow);
  };
  const listen = {
    play: () => { cancelAnimationFrame(tick); follow(); },
    pause: () => { show(); },
    seeked: show,
    timeupdate: show,
    error: () => { trouble.textContent = "This browser cannot play the file. The answer stands all the same."; },
  };
  // Captured, as events of media do not bubble; from the frame, as the element may be replaced by another.
  for (const [name, act] of Object.entries(listen)) frame?.addEventListener(name, act, true);
  parentElement.serStop = () => {
    cancelAnimationFrame(tick);
    for (const [name, act] of Object.entries(listen)) frame?.removeEventListener(name, act, true);
  };
  return () => parentElement.serStop();
}
