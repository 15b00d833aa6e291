/**
 * The benchmark of whole models: an edit, a caption and written prompts with the embedded family, and Flan-T5 small with
 * made-up weights.
 *
 *   npm run bench:models -- [--device NAME] [--label NAME] [--peer]
 *
 * Prints a table and writes bench/results/<adapter>-models.json. Shaders are compiled by a first run of each row. `--peer`
 * runs the networks that bench/peers/export.py exported on onnxruntime-node's WebGPU provider, each right after ours; its times
 * hold copies of inputs and outputs, and leave out sampling and, for decoding, the encoder.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { directory, readImage, requestGpu } from '../src/node/index.ts';
import { DiffEditPipeline } from '../src/pipeline/diffedit/pipeline.ts';
import { BlipForConditionalGeneration } from '../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../src/pipeline/text/t5.ts';
import { fakeModel } from '../test/support/fake-models.ts';
import { spread } from './measure.ts';
import { type Network, orchardUNet, orchardVision } from './networks.ts';
import { peerTimes } from './peers/networks.ts';

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly detail?: object;
}

const { values: asked } = parseArgs({
  options: { device: { type: 'string' }, label: { type: 'string' }, peer: { type: 'boolean', default: false } },
});
/** dist/bench-models.js and bench/models.ts both lie one folder below the root. */
const root = new URL('../', import.meta.url);
const orchard = (part: string): string => fileURLToPath(new URL(`models/orchard/${part}`, root));
const gpu = await requestGpu({ adapterName: asked.device });
const rows: Row[] = [];
const picture = await readImage(orchard('samples/apples-bowl.png'));

for (const dtype of ['float32', 'float16'] as const) {
  const pipeline = await DiffEditPipeline.fromPretrained(await directory(orchard('stable-diffusion')), { gpu, dtype });
  const args = { image: picture, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
  const gentle = { guidanceScale: 2.5, invertGuidanceScale: 1 };
  await pipeline.run({ ...args, ...gentle, numInferenceSteps: 4, numMapsPerMask: 1 });
  const start = performance.now();
  const { timings } = await pipeline.run({ ...args, ...gentle });
  const seconds = (performance.now() - start) / 1000;
  rows.push({
    name: `edit, 128 x 128, 50 steps, 10 maps, ${dtype}`,
    value: seconds,
    unit: 's',
    detail: { timings, peakBytes: pipeline.peakBytes },
  });
  pipeline.dispose();
}

await network('UNet, embedded, a guided step (batch of 2)', await orchardUNet(gpu, orchard('stable-diffusion/unet')));
await peer('unet', 'UNet, embedded, a guided step (batch of 2)');
await network('vision tower, embedded BLIP', await orchardVision(gpu, orchard('blip')));
await peer('blip-vision', 'vision tower, embedded BLIP');

const blip = await BlipForConditionalGeneration.fromPretrained(await directory(orchard('blip')), { gpu });
const caption = () => blip.caption(picture, 'a photograph of', { maxNewTokens: 128 });
await caption();
rows.push({
  name: 'caption, embedded BLIP',
  value: await fastest(5, caption),
  unit: 'ms',
  detail: { peakBytes: blip.peakBytes },
});
blip.dispose();

const t5 = await T5ForConditionalGeneration.fromPretrained(await directory(orchard('t5')), { gpu });
for (const sequences of [1, 16]) await decoding(t5, `embedded T5 (1.2 M)`, [[17, 9, 23, 41, 5, 1]], sequences, 24);
t5.dispose();

for (const dtype of ['float32', 'float16'] as const) {
  const small = await T5ForConditionalGeneration.fromPretrained(fakeModel('flan-t5-small', { root }), { gpu, dtype });
  const ids = [Array.from({ length: 64 }, (_, i) => 100 + i)];
  await small.encode({ ids });
  const ms = await fastest(5, () => small.encode({ ids }));
  // Projections and feed-forward of 8 layers, and the attention itself: multiply-adds times 2.
  const flops = 2 * 64 * 8 * (4 * 512 * 384 + 3 * 512 * 1024) + 4 * 8 * 64 * 64 * 384;
  rows.push({
    name: `encoder, Flan-T5 small, 64 ids, ${dtype}`,
    value: flops / ms / 1e6,
    unit: 'GFLOP/s',
    detail: { ms },
  });
  for (const sequences of [1, 16]) await decoding(small, `Flan-T5 small (77 M) ${dtype}`, ids, sequences, 16);
  small.dispose();
}
await peer('t5-encoder', 'encoder, Flan-T5 small, 64 ids');
for (const sequences of [1, 16]) {
  await peer(`t5-step-${sequences}`, `decoding, Flan-T5 small (77 M), ${sequences} sequences`, sequences);
}

const { caps } = gpu;
for (const row of rows)
  process.stdout.write(`${row.name.padEnd(64)} ${row.value.toFixed(1).padStart(8)} ${row.unit}\n`);
const label =
  asked.label ?? (caps.architecture === 'software' ? 'lavapipe' : caps.architecture || caps.vendor || 'adapter');
const file = new URL(`bench/results/${label.replace(/[^\w-]+/g, '-')}-models.json`, root);
await mkdir(new URL('.', file), { recursive: true });
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
await writeFile(file, `${JSON.stringify({ adapter: caps, machine, rows }, null, 2)}\n`);
process.stdout.write(`\n${file.pathname}\n`);
gpu.dispose();
process.exit(0);

/** Tokens a second of sampling with the cache, all sequences counted, encoder included. */
async function decoding(
  model: T5ForConditionalGeneration,
  name: string,
  ids: number[][],
  sequences: number,
  tokens: number,
): Promise<void> {
  const options = {
    doSample: sequences > 1,
    topK: 10,
    temperature: 0.8,
    numReturnSequences: sequences,
    maxNewTokens: tokens,
    eosTokenId: null, // no early end, and no processor that would bring the scores to the host
  };
  const write = () => model.generate({ ids }, options);
  await write();
  const ms = await fastest(3, write);
  rows.push({
    name: `decoding, ${name}, ${sequences} sequences`,
    value: (1000 * sequences * tokens) / ms,
    unit: 'tokens/s',
    detail: { ms, tokens },
  });
}

/** Times replays of a plan. */
async function network(name: string, { plan, dispose }: Network): Promise<void> {
  const run = async (): Promise<number> => {
    const start = performance.now();
    plan.run();
    await gpu.idle();
    return performance.now() - start;
  };
  await run();
  const ms: number[] = [];
  for (let i = 0; i < 15; i++) ms.push(await run());
  rows.push({ name, value: spread(ms).medianMs, unit: 'ms', detail: { ...spread(ms), flops: plan.flops } });
  dispose();
}

/** The same on the peer; with `sequences`, tokens a second of one decoding step. */
async function peer(file: string, name: string, sequences?: number): Promise<void> {
  if (!asked.peer) return;
  const ms = await peerTimes(file, 9);
  if ('missing' in ms) {
    process.stdout.write(`no peer: ${ms.missing}\n`);
    return;
  }
  const times = spread(ms);
  const rate = sequences === undefined ? undefined : (1000 * sequences) / times.medianMs;
  const row = { name: `onnxruntime-node: ${name}`, detail: times };
  rows.push(
    rate === undefined ? { ...row, value: times.medianMs, unit: 'ms' } : { ...row, value: rate, unit: 'tokens/s' },
  );
}

async function fastest(times: number, work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await work();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}
