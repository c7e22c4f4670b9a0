// Asks a Diptych gateway for the object at a point and prints the area of its mask.
//
//     npm ci && npx buf generate ... && npx tsc && node dist/segment.js PICTURE MODEL X,Y
//
// The address comes from DIPTYCH_ADDRESS, else localhost:50051.

import { readFileSync } from "node:fs";
import { createClient, ConnectError, Code } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { PointLabel, Task } from "./gen/diptych/segment/v1/prompts_pb.js";
import { SegmentService } from "./gen/diptych/segment/v1/segment_service_pb.js";

const [path, modelId, point] = process.argv.slice(2);
if (!path || !modelId || !point) {
  console.error("usage: node dist/segment.js PICTURE MODEL X,Y");
  process.exit(2);
}
const [xPx, yPx] = point.split(",").map(Number);
const transport = createGrpcTransport({
  baseUrl: `http://${process.env.DIPTYCH_ADDRESS ?? "localhost:50051"}`,
});

try {
  const { segments } = await createClient(SegmentService, transport).segment(
    {
      modelId,
      image: { source: { case: "encoded", value: readFileSync(path) } },
      task: Task.PROMPTED_SEGMENTATION,
      prompts: [{ points: [{ xPx, yPx, label: PointLabel.FOREGROUND }] }],
    },
    { timeoutMs: 60_000 }, // without one, a call waits for ever
  );
  for (const { score, areaPx } of segments) {
    console.log(`score ${score.toFixed(3)}  ${areaPx} px`);
  }
} catch (error) {
  const { code, rawMessage } = ConnectError.from(error);
  console.error(`${Code[code]}: ${rawMessage}`);
  process.exitCode = 1;
}
