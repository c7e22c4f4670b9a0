/** A question as code that asks it again: Python, the command line, curl. */

/**
 * @typedef {object} Server
 * @property {string} url of the HTTP interface, up to and with the last slash
 * @property {string} address of gRPC, `host:port`
 * @property {boolean} tls
 * @property {boolean} locked it asks for a token, which the code reads from the file that
 *   `DIPTYCH_TOKEN_FILE` names: never the token itself
 */

export const TOKEN_NOTE = "# The token is read from the file that DIPTYCH_TOKEN_FILE names.\n";

/**
 * @param {import("../views.js").Question} question
 * @param {Server} server
 * @returns {string}
 */
export function asPython({ picture, options }, { address, tls, locked }) {
  const prompts = (options.prompts ?? []).map(pythonPrompt);
  const used = ["Client", ...["Box", "Mask", "Point", "Prompt"].filter((name) => prompts.join().includes(`${name}`))];
  const asked = [
    python(picture.name),
    `task=${python(options.task)}`,
    `models=${python(options.models)}`,
    ...(prompts.length ? [`prompts=[${prompts.join(", ")}]`] : []),
  ];
  return `${locked ? TOKEN_NOTE : ""}from diptych import ${used.join(", ")}

with Client(${python(address)}${tls ? ", tls=True" : ""}) as client:
    compared = client.compare(
${asked.map((argument) => `        ${argument},\n`).join("")}    )
for outcome in compared.results:
    if outcome.error:
        print(outcome.model_id, outcome.error)
        continue
    for segment in outcome.result.segments:
        print(outcome.model_id, segment.label, round(segment.score, 2), segment.area)
`;
}

/**
 * @param {import("../views.js").Question} question
 * @param {Server} server
 * @returns {string} or a comment that says why there is no such command
 */
export function asCommand({ picture, options }, { address, tls, locked }) {
  const prompts = options.prompts ?? [];
  const pointed = prompts.filter(({ points }) => points?.length);
  if (pointed.length > 1 || prompts.some((prompt) => prompt.mask || (prompt.box && prompt.points?.length))) {
    return "# One command cannot say this: it takes the points of one object, and boxes. Take Python or curl.\n";
  }
  const words = [
    ["diptych", "compare", file(picture.name)],
    ["--address", address],
    ...(tls ? [["--tls"]] : []),
    ["--task", options.task],
    ...options.models.map((model) => ["--model", model]),
    ...pointed.flatMap(({ points }) => points.map(([x, y, on = true]) => ["--point", `${x},${y},${Number(on)}`])),
    ...prompts.filter(({ box }) => box).map(({ box }) => ["--box", box.join()]),
    ["--json"],
  ];
  return (locked ? TOKEN_NOTE : "") + lines(words.map((part) => part.map(shell).join(" ")));
}

/**
 * @param {import("../views.js").Question} question
 * @param {Server} server
 * @returns {string}
 */
export function asCurl({ picture, options }, { url, locked }) {
  const name = picture.name.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
  return lines([
    `curl ${shell(new URL("api/compare", url).href)}`,
    ...(locked ? ['-H "Authorization: Bearer $(cat "$DIPTYCH_TOKEN_FILE")"'] : []),
    `-F ${shell(`image=@"${name}"`)}`,
    `--form-string ${shell(`options=${JSON.stringify(options)}`)}`,
  ]);
}

/** What JSON writes is Python too, for texts, numbers and lists of them. */
export function python(value) {
  return Array.isArray(value) ? `[${value.map(python).join(", ")}]` : JSON.stringify(value);
}

export function pythonPrompt({ points = [], box, mask }) {
  const parts = [];
  if (points.length) {
    const each = points.map(([x, y, on = true]) => `Point(${x}, ${y}${on ? "" : ", positive=False"})`);
    parts.push(`points=(${each.join(", ")},)`);
  }
  if (box) parts.push(`box=Box(${box.join(", ")})`);
  if (mask) parts.push(`mask=Mask.from_coco(${python(mask.counts)}, (${mask.size.join(", ")}))`);
  return `Prompt(${parts.join(", ")})`;
}

/** A word of a POSIX shell. @param {string} word */
export function shell(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** A file's name that is not taken for an option. @param {string} name */
export function file(name) {
  return name.startsWith("-") ? `./${name}` : name;
}

/** @param {string[]} parts */
export function lines(parts) {
  return `${parts.join(" \\\n  ")}\n`;
}
