// Asks a Diptych gateway about one picture.
//
//     npm ci
//     node segment.mjs photo.jpg [model] [x,y]
//
// Without a model every model is asked and compared; with a point, for the object there.
// The address comes from DIPTYCH_ADDRESS, else localhost:50051.

import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";

const [path, model, point] = process.argv.slice(2);
if (!path) {
  console.error("usage: node segment.mjs PICTURE [MODEL] [X,Y]");
  process.exit(2);
}

const descriptors = readFileSync(new URL("../../proto/descriptor_set.binpb", import.meta.url));
const definition = loadFileDescriptorSetFromBuffer(descriptors, {
  longs: Number, enums: String, defaults: true, oneofs: true,
});
const { SegmentService, GatewayService } =
  grpc.loadPackageDefinition(definition).diptych.segment.v1;

const address = process.env.DIPTYCH_ADDRESS ?? "localhost:50051";
const limits = {
  "grpc.max_send_message_length": 32 * 1024 * 1024,
  "grpc.max_receive_message_length": 64 * 1024 * 1024, // grpc-js stops at 4 MiB by itself
};

function call(Service, method, request) {
  const client = new Service(address, grpc.credentials.createInsecure(), limits);
  const deadline = Date.now() + 30_000; // without one, a call waits for ever
  return new Promise((resolve, reject) => {
    client[method](request, { deadline }, (error, reply) => {
      client.close();
      error ? reject(error) : resolve(reply);
    });
  });
}

function print(modelId, { segments, timings }) {
  const ms = Number(timings.total.seconds) * 1e3 + timings.total.nanos / 1e6;
  console.log(`${modelId}: ${segments.length} segments in ${ms.toFixed(0)} ms`);
  for (const { label, score, area_px: area } of segments.slice(0, 5)) {
    console.log(`  ${label || "object"}  score ${score.toFixed(2)}  ${area} px`);
  }
}

const request = { image: { encoded: readFileSync(path) }, task: "TASK_INSTANCE_SEGMENTATION" };
if (point) {
  const [x_px, y_px] = point.split(",").map(Number);
  request.task = "TASK_PROMPTED_SEGMENTATION";
  request.prompts = [{ points: [{ x_px, y_px, label: "POINT_LABEL_FOREGROUND" }] }];
}

try {
  if (model) {
    print(model, await call(SegmentService, "Segment", { ...request, model_id: model }));
  } else {
    const { results, agreements } = await call(GatewayService, "Compare", { request });
    for (const { model_id: id, response, error } of results) {
      if (response) print(id, response);
      else console.log(`${id}: failed, ${error.message}`);
    }
    for (const { model_id_a: a, model_id_b: b, matches } of agreements) {
      console.log(`${a} and ${b} agree on ${matches.length} segments`);
    }
  }
} catch (error) {
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  process.exitCode = 1;
}
