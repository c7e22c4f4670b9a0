/** What was done with a clip as code that does the same: Python, the command line. */

import { file, lines, python, pythonPrompt, shell, TOKEN_NOTE } from "../take/snippets.js";

/**
 * @typedef {object} Asked
 * @property {string} source name of the clip's file or folder
 * @property {number | null} fps of a folder of frames
 * @property {[number, number]} size of the clip's frames, width and height
 * @property {[number, number]} sent the same of the frames that the page sends
 * @property {string[]} models
 * @property {boolean} all everything is followed that a model finds by itself
 * @property {"forward" | "backward" | "both"} direction
 * @property {{object: number, frame: number, prompt: any}[]} told each change, in order, in pixels of `sent`
 */

/** @param {Asked} asked @param {import("../take/snippets.js").Server} server */
export function asVideoPython(asked, { address, tls, locked }) {
  const { source, fps, models, all, direction } = asked;
  const clip = `read_video(${python(source)}${fps ? `, fps=${fps}` : ""})`;
  const prompts = scaled(asked).map(
    ({ object, frame, prompt }) => `    VideoPrompt(${object}, ${frame}, ${pythonPrompt(prompt)}),\n`,
  );
  const said = prompts.join();
  const wanted = (...names) => names.filter((name) => new RegExp(`\\b${name}\\b`).test(said));
  const used = [...wanted("Box"), "Client", ...wanted("Mask", "Point", "Prompt"), "VideoFrameResult"];
  used.push(...wanted("VideoPrompt"), "read_video");
  const track = all
    ? `follow(client, model)`
    : `client.track_clip(\n            clip, prompts=prompts, direction=${python(direction)}, model=model\n        )`;
  return `${locked ? TOKEN_NOTE : ""}${note(asked)}from diptych import ${used.join(", ")}

clip = ${clip}
prompts = [${prompts.length ? `\n${prompts.join("")}` : ""}]
${all ? FOLLOW : ""}
with Client(${python(address)}${tls ? ", tls=True" : ""}) as client:
    for model in ${python(models)}:
        for event in ${track}:
            if not isinstance(event, VideoFrameResult):
                print(model, event.error)
                continue
            for found in event.objects:
                print(model, event.frame_index, found.object_id, found.presence, found.segment.area)
`;
}

const FOLLOW = `

def follow(client, model):
    with client.video(model=model, track_all=True) as session:
        for frame in clip:
            session.send(frame)
            event = next(session)
            for told in prompts:
                if told.frame_index == frame.index:
                    prompt = told.prompt
                    session.prompt(
                        told.object_id,
                        points=prompt.points,
                        box=prompt.box,
                        frame_index=frame.index,
                    )
                    event = next(session)
            yield event

`;

/** @param {Asked} asked @param {import("../take/snippets.js").Server} server */
export function asVideoCommand(asked, { address, tls, locked }) {
  const { source, fps, models, all, direction } = asked;
  const last = new Map();
  let steps = 0;
  for (const told of scaled(asked)) {
    const key = `${told.object}@${told.frame}`;
    steps += Number(last.has(key));
    last.set(key, told.prompt);
  }
  if ([...last.values()].some(({ mask }) => mask)) return "# The command takes no mask as a prompt. Take Python.\n";
  const words = [
    ["diptych", "video", file(source)],
    ["--address", address],
    ...(tls ? [["--tls"]] : []),
    ...(models.length > 1 ? [["--compare"]] : []),
    ...models.map((model) => ["--model", model]),
    ...[...last].flatMap(([key, { points = [], box }]) => [
      ...points.map(([x, y, on = true]) => ["--point", `${key}:${x},${y},${Number(on)}`]),
      ...(box ? [["--box", `${key}:${box.join()}`]] : []),
    ]),
    ...(all ? [["--track-all"]] : []),
    ...(direction === "forward" ? [] : [["--direction", direction]]),
    ...(fps ? [["--fps", fps]] : []),
    ["--json"],
  ];
  const once = steps ? "# The points of an object go together here, where the page sent one after the other.\n" : "";
  return (
    (locked ? TOKEN_NOTE : "") + note(asked) + once + lines(words.map((part) => part.map(String).map(shell).join(" ")))
  );
}

/** Prompts in pixels of the clip. */
function scaled({ told, size, sent }) {
  const [sx, sy] = [size[0] / sent[0], size[1] / sent[1]];
  const round = (value) => Math.round(value * 1000) / 1000;
  return told.map(({ prompt: { points = [], box, mask }, ...rest }) => ({
    ...rest,
    prompt: {
      points: points.map(([x, y, on]) => [round(x * sx), round(y * sy), on]),
      box: box && box.map((edge, at) => round(edge * (at % 2 ? sy : sx))),
      mask,
    },
  }));
}

/** Why masks are not the page's to the last pixel; "" for files that are sent as they are. */
function note({ fps, size, sent }) {
  if (fps) return "";
  const smaller = size[0] === sent[0] ? "" : `, ${sent[0]} × ${sent[1]} px large`;
  return `# The page sent frames as this browser decodes them, as JPEG${smaller}: edges may differ by a pixel.\n`;
}
