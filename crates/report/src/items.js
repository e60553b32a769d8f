"use strict";
const items = JSON.parse(document.getElementById("items").textContent);
const images = JSON.parse(document.getElementById("images").textContent);
const PAGE = 25;
let shown = PAGE;

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function verdictOf(response) {
  if (response.score === null) return "unscored";
  return response.score >= 1 ? "right" : response.score <= 0 ? "wrong" : "partly";
}

function verdicts(item) {
  const found = new Set(item.responses.map(verdictOf));
  if (found.size > 1) found.add("mixed");
  if (item.responses.some((response) => response.is_disputed)) found.add("disputed");
  if (item.responses.some((response) => response.is_cut)) found.add("clipped");
  if (item.responses.some((response) => response.text.trim() === "")) found.add("empty");
  return found;
}
items.forEach((item) => { item.verdicts = verdicts(item); });

const filters = {
  task: document.getElementById("task"),
  subject: document.getElementById("subject"),
  verdict: document.getElementById("verdict"),
  text: document.getElementById("text"),
};

function fill(select, values, all) {
  const kept = select.value;
  select.replaceChildren(new Option(all, ""));
  [...new Set(values)].filter((value) => value !== "").sort().forEach((value) => select.add(new Option(value, value)));
  if ([...select.options].some((option) => option.value === kept)) select.value = kept;
}

function fillSubjects() {
  const of = items.filter((item) => filters.task.value === "" || item.task === filters.task.value);
  fill(filters.subject, of.map((item) => item.subject), "all subjects");
}

function isMeant(item) {
  const wanted = filters.text.value.toLowerCase();
  const said = () => [item.id, item.prompt, item.gold, ...item.responses.map((response) => response.text)];
  return (filters.task.value === "" || item.task === filters.task.value)
    && (filters.subject.value === "" || item.subject === filters.subject.value)
    && (filters.verdict.value === "" || item.verdicts.has(filters.verdict.value))
    && (wanted === "" || said().some((text) => text.toLowerCase().includes(wanted)));
}

function details(title, text) {
  const made = element("details");
  made.append(element("summary", "", title), element("p", "said quiet thought-text", text));
  return made;
}

function responseOf(response, run) {
  const made = element("details");
  const verdict = verdictOf(response);
  const summary = element("summary", "", "run " + (run + 1) + ": ");
  summary.append(element("span", verdict, { right: "✓ right", wrong: "✗ wrong", partly: "◐ partly", unscored: "– unscored" }[verdict]));
  const marks = [];
  if (response.is_disputed) marks.push("disputed");
  if (response.is_cut) marks.push("clipped");
  marks.push(response.num_tokens + " tokens");
  summary.append(element("span", "quiet", " " + marks.join(", ")));
  made.append(summary);
  const scores = element("p", "scores");
  response.scores.forEach(([name, score]) => scores.append(element("span", "score", name + " " + score.toFixed(2))));
  made.append(scores);
  if (response.why) made.append(element("p", "quiet", response.why));
  const [thought, said] = split(response.text);
  if (thought) made.append(details("thought", thought));
  made.append(element("p", "said", said || "(nothing)"));
  response.asked.forEach((asked) => {
    const question = details(asked.title + " was asked", asked.prompt);
    question.append(element("p", "quiet", "and said"), element("p", "said", asked.reply));
    made.append(question);
  });
  return made;
}

function split(text) {
  const end = text.lastIndexOf("\u003c/think>");
  if (end < 0) return ["", text.trim()];
  return [text.slice(0, end).replace("\u003cthink>", "").trim(), text.slice(end + 8).trim()];
}

/* An image that a click shows as wide as its card. */
function picture(path, name) {
  const button = element("button");
  const image = element("img");
  image.src = images[path];
  image.alt = name;
  image.loading = "lazy";
  button.title = name;
  button.append(image);
  button.addEventListener("click", () => button.classList.toggle("large"));
  return button;
}

/* The names of an item, and what makes its card as wide as the page. */
function title(item, article) {
  const made = element("div", "title");
  const button = element("button", "", "wide");
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(article.classList.toggle("wide")));
  });
  made.append(element("p", "quiet", [item.task, item.subject, item.id].filter(Boolean).join(" · ")), button);
  return made;
}

function card(item) {
  const made = element("article");
  const pictures = element("div", "pictures");
  item.images.forEach((path, number) => {
    pictures.append(images[path] ? picture(path, "image " + (number + 1) + " of item " + item.id)
      : element("span", "lost", "image " + (number + 1) + " is left out"));
  });
  if (item.images.length > 4) pictures.classList.add("many");
  if (item.images.length) made.append(pictures);
  const body = element("div");
  body.append(title(item, made));
  body.append(element("p", "question", item.prompt));
  body.append(element("p", "quiet", "Right answer: " + item.gold));
  item.responses.forEach((response, run) => body.append(responseOf(response, run)));
  made.append(body);
  return made;
}

function show() {
  const meant = items.filter(isMeant);
  document.getElementById("count").textContent = meant.length + " of " + items.length + " items";
  document.getElementById("cards").replaceChildren(...meant.slice(0, shown).map(card));
  document.getElementById("more").hidden = meant.length <= shown;
}

function again() {
  shown = PAGE;
  show();
}

fill(filters.task, items.map((item) => item.task), "all tasks");
fillSubjects();
filters.task.addEventListener("change", () => { fillSubjects(); again(); });
filters.subject.addEventListener("change", again);
filters.verdict.addEventListener("change", again);
filters.text.addEventListener("input", again);
document.getElementById("more").addEventListener("click", () => { shown += PAGE; show(); });
show();
