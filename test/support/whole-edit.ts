/**
 * A whole edit with Stable Diffusion 2.1 at its published size, in a process of its own, which tells its memory and what came out.
 * Weights are made up as they are read (fake-weights.ts), so that nothing of them lies in the process but what the device holds.
 *
 *   node --import ./test/support/run-typescript.mjs test/support/whole-edit.ts '{"modelCpuOffload":true}'
 */
import { createHash } from 'node:crypto';
import process from 'node:process';
import type { NdArray } from '../../src/core/ndarray.ts';
import { requestGpu } from '../../src/node/device.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { fakeModel } from './fake-models.ts';

const SIDE = 256;
const image = {
  width: SIDE,
  height: SIDE,
  data: Uint8Array.from({ length: 3 * SIDE ** 2 }, (_, i) => (i * 7919) % 256),
};
const gpu = await requestGpu();
const options = { gpu, ...JSON.parse(process.argv[2] ?? '{}'), onWarning: () => undefined };
const pipeline = await DiffEditPipeline.fromPretrained(fakeModel('sd21'), options);
const { images } = await pipeline.run({
  ...{ image, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 },
  ...{ numInferenceSteps: 4, numMapsPerMask: 2, guidanceScale: 1, outputType: 'np' },
});
const { data } = images as NdArray;
const peakBytes = pipeline.peakBytes;
pipeline.dispose();
gpu.dispose();
const bits = createHash('sha256')
  .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  .digest('hex');
const finite = data.every(Number.isFinite);
process.stdout.write(JSON.stringify({ residentBytes: 1024 * process.resourceUsage().maxRSS, peakBytes, bits, finite }));
process.exit(0);
