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
const TOKEN_NOTE = "# The token is read from the file that DIPTYCH_TOKEN_FILE names.\n";

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
 * @returns {string} or a comment that says why there is no such command
 */
export function asCommand({ picture, options, picks }, { address, tls, locked }) {
  if (picks) return NO_PICKS;
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
    ...(options.match_iou ? [["--match-iou", String(options.match_iou)]] : []),
    ["--json"],
  ];
  return (locked ? TOKEN_NOTE : "") + lines(words.map((part) => part.map(shell).join(" ")));
}

/**
 * @param {import("../views.js").Question} question
 * @param {Server} server
 * @returns {string}
 */
export function asCurl({ picture, options, picks }, { url, locked }) {
  if (picks) return NO_PICKS;
  const name = picture.name.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
  return lines([
    `curl ${shell(new URL("api/compare", url).href)}`,
    ...(locked ? ['-H "Authorization: Bearer $(cat "$DIPTYCH_TOKEN_FILE")"'] : []),
    `-F ${shell(`image=@"${name}"`)}`,
    `--form-string ${shell(`options=${JSON.stringify(options)}`)}`,
  ]);
}

/** What JSON writes is Python too, for texts, numbers and lists of them. */
function python(value) {
  return Array.isArray(value) ? `[${value.map(python).join(", ")}]` : JSON.stringify(value);
}

function pythonPrompt({ points = [], box, mask }) {
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
function shell(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** A file's name that is not taken for an option. @param {string} name */
function file(name) {
  return name.startsWith("-") ? `./${name}` : name;
}

/** @param {string[]} parts */
function lines(parts) {
  return `${parts.join(" \\\n  ")}\n`;
}
