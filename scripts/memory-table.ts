/**
 * Prints the tables of docs/memory.md: device memory at the peak of an edit, by plans of the published networks.
 *
 *   npm run memory-table
 */
import process from 'node:process';
import { Gpu } from '../src/gpu/device.ts';
import { DiffEditPipeline } from '../src/pipeline/diffedit/pipeline.ts';
import { type FakeModel, fakeModel } from '../test/support/fake-models.ts';

const MODELS: readonly (readonly [FakeModel, string])[] = [
  ['sd21', 'Stable Diffusion 2.1'],
  ['sd15', 'Stable Diffusion 1.5'],
];
const CALLS = [
  { size: 512, images: 1 },
  { size: 512, images: 4 },
  { size: 768, images: 1 },
  { size: 768, images: 4 },
  { size: 1024, images: 1 },
];
const WAYS = ['', 'offload', 'offload, streamed'] as const;
const DTYPES = ['float32', 'float16'] as const;

/** What the browser gives of its own accord: tables hold for every device. */
const gpu = Gpu.dry();
const write = (line: string): void => void process.stdout.write(`${line}\n`);

for (const [name, title] of MODELS) {
  const columns = DTYPES.flatMap(dtype => WAYS.map(way => ({ dtype, way })));
  write(`| ${title}, MB | ${columns.map(c => [c.dtype, c.way].filter(Boolean).join(', ')).join(' | ')} |`);
  write(`| --- |${' ---: |'.repeat(columns.length)}`);
  for (const { size, images } of CALLS) {
    const cells: string[] = [];
    for (const { dtype, way } of columns) cells.push(await peak(name, { dtype, way, size, images }));
    write(`| ${size} x ${size}${images > 1 ? `, ${images} images` : ''} | ${cells.join(' | ')} |`);
  }
  write('');
}

interface Case {
  readonly dtype: (typeof DTYPES)[number];
  readonly way: (typeof WAYS)[number];
  readonly size: number;
  readonly images: number;
}

/** Megabytes (10^6 bytes) of device memory. */
async function peak(name: FakeModel, { dtype, way, size, images }: Case): Promise<string> {
  const options = { modelCpuOffload: way !== '', streamWeights: way === 'offload, streamed', loadWhenNeeded: true };
  const pipeline = await DiffEditPipeline.fromPretrained(fakeModel(name), { gpu, dtype, ...options, onWarning() {} });
  const image = { width: size, height: size, data: new Uint8Array(3 * size * size) };
  const prompts = { sourcePrompt: 'source', targetPrompt: 'target' };
  const { peakBytes } = await pipeline.plan({ ...prompts, image, seed: 0, numImagesPerPrompt: images });
  pipeline.dispose();
  return String(Math.round(peakBytes / 1e6));
}
