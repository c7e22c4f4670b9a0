/** Answers of models about a clip as `diptych video … --json` prints them: a line for each frame and model. */

/**
 * @typedef {object} Followed what one model answered
 * @property {string} model id
 * @property {string} name
 * @property {Map<number, any>} answers the last one for each frame, by its index
 */

/**
 * @param {string} source name of the clip's file or folder
 * @param {Followed[]} followed
 * @param {(index: number) => number} timeOf a frame, in seconds
 * @returns {string[]} each ends with a line break
 */
export function jsonLines(source, followed, timeOf) {
  return answeredFrames(followed).flatMap((index) =>
    followed
      .filter(({ answers }) => answers.has(index))
      .map(({ model, answers }) => `${JSON.stringify(line(source, model, answers.get(index), timeOf(index)))}\n`),
  );
}

/** Indices of the frames that at least one model answered, in order. @param {Followed[]} followed */
export function answeredFrames(followed) {
  return [...new Set(followed.flatMap(({ answers }) => [...answers.keys()]))].toSorted((a, b) => a - b);
}

function line(source, model, { event, in_reply_to, frame_index, ...found }, seconds) {
  const time = Math.round(seconds * 1e6) / 1e6;
  return { source, model_id: model, frame_index, time_s: time, ...found };
}
