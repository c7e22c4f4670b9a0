/** What the models found as one picture: side by side, at the size of the picture that was asked about. */

import { Overlay } from "../canvas/overlay.js";
import { drawMarks } from "../canvas/paint.js";

/** Browsers refuse larger canvases; then everything is drawn smaller. */
const MAX_SIDE = 16_384;
const MAX_PIXELS = 128e6;
const MAX_LINES = 40;

/**
 * @param {ImageBitmap} picture
 * @param {import("../views.js").Shown[]} answers
 * @param {number} opacity of the masks, 0 to 1
 * @returns {HTMLCanvasElement}
 */
export function drawSideBySide(picture, answers, opacity) {
  const counts = answers.map(({ answer, isShown }) => answer.segments.filter((s) => isShown(s.index)).length);
  const text = Math.max(12, Math.round(picture.width / 32));
  const line = Math.round(text * 1.5);
  const columns = answers.length;
  const legend = Math.min(Math.max(0, ...counts), MAX_LINES + 1) * line;
  const whole = { width: picture.width * columns, height: picture.height + 2 * line + legend };
  const scale = Math.min(
    1,
    MAX_SIDE / Math.max(whole.width, whole.height),
    Math.sqrt(MAX_PIXELS / (whole.width * whole.height)),
  );
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(whole.width * scale);
  canvas.height = Math.round(whole.height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = "white";
  context.fillRect(0, 0, whole.width, whole.height);
  answers.forEach((shown, column) => {
    context.save();
    context.translate(column * picture.width, 0);
    context.beginPath();
    context.rect(0, 0, picture.width, whole.height);
    context.clip();
    context.font = `${text}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    context.fillStyle = "black";
    context.fillText(shown.name, text / 2, line * 0.75, picture.width - text);
    context.translate(0, line * 1.5);
    drawAnswer(context, picture, shown, opacity);
    context.translate(0, picture.height + line / 2);
    drawLegend(context, shown, { text, line, width: picture.width });
    context.restore();
  });
  return canvas;
}

function drawAnswer(context, picture, { answer, edges, colorOf, isShown }, opacity) {
  const { width, height } = picture;
  context.drawImage(picture, 0, 0);
  const how = { colorOf, isShown, isLit: () => false, edges, opacity };
  const unit = Math.max(1, Math.max(width, height) / 600);
  const frame = { left: 0, top: 0, width, height, unit };
  const overlay = new Overlay(answer);
  overlay.look(how);
  const sheet = Object.assign(document.createElement("canvas"), { width, height });
  overlay.paint(sheet.getContext("2d"), frame);
  context.globalAlpha = opacity;
  context.drawImage(sheet, 0, 0);
  context.globalAlpha = 1;
  drawMarks(context, frame, answer, how);
}

function drawLegend(context, { answer, colorOf, isShown }, { text, line, width }) {
  const found = answer.segments.filter(({ index }) => isShown(index));
  found.slice(0, MAX_LINES).forEach(({ index, label, score }, row) => {
    const middle = (row + 0.5) * line;
    context.fillStyle = colorOf(index);
    context.fillRect(text / 2, middle - text / 2, text, text);
    context.fillStyle = "black";
    context.fillText(`${label}  ${score.toFixed(2)}`, text * 2, middle, width - 2.5 * text);
  });
  const more = found.length - MAX_LINES;
  if (more > 0) context.fillText(`and ${more} more`, text * 2, (MAX_LINES + 0.5) * line, width - 2.5 * text);
}
