/** A question as code that asks it again: Python, the command line, curl. */

/**
 * @typedef {object} Server
 * @property {string} url of the HTTP interface, up to and with the last slash
 * @property {string} address of gRPC, `host:port`
 * @property {boolean} tls
 * @property {boolean} locked it asks for a token, which the code reads from the file that
 *   `DIPTYCH_TOKEN_FILE` names: never the token itself
 */

const NO_PICKS = "# One request cannot say which candidate was chosen. Take Python.\n";
const LONG = 4000;
export const TOKEN_NOTE = "# The token is read from the file that DIPTYCH_TOKEN_FILE names.\n";

/**
 * @param {import("../views.js").Question} question
 * @param {Server} server
 * @returns {string}
 */
export function asPython({ picture, options, picks = [] }, { address, tls, locked }) {
  const prompts = (options.prompts ?? []).map(pythonPrompt);
  const candidates = pythonPicks(picks, picture);
  const parts = [...prompts, candidates].join();
  const used = ["Client", ...["Box", "Mask", "OutputOptions", "Point", "Prompt"].filter((name) => parts.includes(name))];
  const asked = [
    python(picture.name),
    `task=${python(options.task)}`,
    `models=${python(options.models)}`,
    ...(prompts.length ? [`prompts=[${prompts.join(", ")}]`] : []),
    ...(options.match_iou ? [`match_iou=${options.match_iou}`] : []),
  ];
  return `${locked ? TOKEN_NOTE : ""}from diptych import ${used.join(", ")}

with Client(${python(address)}${tls ? ", tls=True" : ""}) as client:
    compared = client.compare(
${asked.map((argument) => `        ${argument},\n`).join("")}    )
${candidates}for outcome in compared.results:
    if outcome.error:
        print(outcome.model_id, outcome.error)
        continue
    for segment in outcome.result.segments:
${candidates && "        segment = chosen.get((outcome.model_id, segment.prompt_index), segment)\n"}        print(outcome.model_id, segment.label, round(segment.score, 2), segment.area)
`;
}

/**
 * @param {import("../views.js").Question} question
 * @param {Server} server
 * @returns {string}
 */
export function asCommand({ picture, options, picks }, { address, tls, locked }) {
  if (picks) return NO_PICKS;
  const prompts = options.prompts ?? [];
  const pointed = prompts.filter(({ points }) => points?.length);
  // The options for points and boxes cannot say which belong together; a pipe has room for masks.
  const listed = pointed.length > 1 || prompts.some(({ mask, box, points }) => mask || (box && points?.length));
  const words = [
    ["diptych", "compare", file(picture.name)],
    ["--address", address],
    ...(tls ? [["--tls"]] : []),
    ["--task", options.task],
    ...options.models.map((model) => ["--model", model]),
    ...(listed ? [["--prompts", "-"]] : prompts.flatMap(promptWords)),
    ...(options.match_iou ? [["--match-iou", String(options.match_iou)]] : []),
    ["--json"],
  ];
  const command = words.map((part) => part.map(shell).join(" "));
  return (locked ? TOKEN_NOTE : "") + (listed ? piped(command, JSON.stringify(prompts)) : lines(command));
}

/**
 * @param {import("../views.js").Question} question
 * @param {Server} server
 * @returns {string}
 */
export function asCurl({ picture, options, picks }, { url, locked }) {
  if (picks) return NO_PICKS;
  const name = picture.name.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
  const asked = JSON.stringify(options);
  const command = [
    `curl ${shell(new URL("api/compare", url).href)}`,
    ...(locked ? ['-H "Authorization: Bearer $(cat "$DIPTYCH_TOKEN_FILE")"'] : []),
    `-F ${shell(`image=@"${name}"`)}`,
    // Systems bound the length of a word, and masks are long.
    asked.length < LONG ? `--form-string ${shell(`options=${asked}`)}` : "-F 'options=<-'",
  ];
  return asked.length < LONG ? lines(command) : piped(command, asked);
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

/** Asks for candidates that were chosen, and goes on from them. @param {import("../views.js").Pick[]} picks */
function pythonPicks(picks, picture) {
  if (!picks.length) return "";
  const each = picks.map(({ model, prompt, candidate, seed, further }) => {
    const asked = [python(model), pythonPrompt(seed), candidate, ...(further ? [pythonPrompt(further)] : [])];
    return `        (${python(model)}, ${prompt}): candidate(${asked.join(", ")}),\n`;
  });
  return `
    def candidate(model, prompt, number, further=None):
        """Take one of the candidates for a point, or go on from it."""
        output = OutputOptions(all_candidates=True, low_res_logits=True)
        result = client.segment(${python(picture.name)}, model=model, prompts=[prompt], output=output)
        found = result.segments[number]
        if further is None:
            return found
        prompt = Prompt(points=further.points, box=further.box, mask=found.low_res_logits)
        return client.segment(${python(picture.name)}, model=model, prompts=[prompt]).segments[0]

    chosen = {
${each.join("")}    }
`;
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

function promptWords({ points = [], box }) {
  const around = box ? [["--box", box.join()]] : [];
  return [...points.map(([x, y, on = true]) => ["--point", `${x},${y},${Number(on)}`]), ...around];
}

/** A command that reads a text, which is one line. @param {string[]} parts @param {string} text */
function piped(parts, text) {
  return `${lines([...parts, "<<'JSON'"])}${text}\nJSON\n`;
}

/** @param {string[]} parts */
export function lines(parts) {
  return `${parts.join(" \\\n  ")}\n`;
}
