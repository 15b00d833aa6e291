/**
 * The benchmark of loading: processor seconds that the weights of a full-size network take on their way to the device, beside those of
 * reading, staging and copying the same bytes without packing them.
 *
 *   npm run bench:loading -- [--network unet] [--stored F16] [--dtype float32] [--rounds 3] [--file] [--device NAME]
 *
 * Networks are those of test/golden/fullsize: unet (Stable Diffusion 2.1), clip, vae, t5 (Flan-T5 large), blip. Their bytes are noise in
 * memory, or with `--file` a sparse file in the folder for temporary ones. Rounds of both are taken in turns,
 * after a first load that has the system give the process its memory.
 */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { FILE_BYTES, type FileDType } from '../src/core/convert-bits.ts';
import { readTensors, type StoredTensor, type TensorRange, type TensorSource } from '../src/core/tensor-source.ts';
import { type BufferSlice, createStorage, destroySlice } from '../src/gpu/buffer.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { encodeHeader, openSafetensors } from '../src/io/safetensors.ts';
import { BlipModel, parseBlipConfig } from '../src/models/blip/index.ts';
import {
  AutoencoderKL,
  ClipTextModel,
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
  UNet2DConditionModel,
} from '../src/models/stable-diffusion/index.ts';
import { parseT5Config, T5Model } from '../src/models/t5/index.ts';
import { Weights } from '../src/nn/weights.ts';
import { fileSource, requestGpu } from '../src/node/index.ts';
import { batchBytes, STAGING_BYTES, Staging } from '../src/tensor/staging.ts';
import { parseOptions, refuse } from './words.ts';

const MODELS: Record<string, (w: Weights, config: unknown) => unknown> = {
  unet: (w, config) => new UNet2DConditionModel(w, parseUNetConfig(config, 'unet')),
  clip: (w, config) => new ClipTextModel(w, parseClipTextConfig(config, 'clip')),
  vae: (w, config) => new AutoencoderKL(w, parseVaeConfig(config, 'vae')),
  t5: (w, config) => new T5Model(w, parseT5Config(config, 't5')),
  blip: (w, config) =>
    new BlipModel(
      w,
      parseBlipConfig(config, 'blip', () => {}),
    ),
};

interface Cost {
  /** Of the processor, over all threads. */
  readonly cpu: number;
  readonly user: number;
  readonly wall: number;
}

/** The most that the process held while it loaded. */
interface Peak {
  heap: number;
  resident: number;
}

const SHAPES = new URL('../test/golden/fullsize/shapes.json', import.meta.url);
/** Weights of one buffer. */
const SLAB = 256 * 2 ** 20;

const asked = parseOptions({
  network: { type: 'string', default: 'unet' },
  stored: { type: 'string', default: 'F16' },
  dtype: { type: 'string', default: 'float32' },
  rounds: { type: 'string', default: '3' },
  file: { type: 'boolean', default: false },
  device: { type: 'string' },
});
const make =
  MODELS[asked.network] ?? refuse(`--network is one of ${Object.keys(MODELS).join(', ')}, got ${asked.network}`);
const dtype = asked.dtype === 'float16' ? 'float16' : 'float32';
const { config, tensors } = JSON.parse(await readFile(SHAPES, 'utf8'))[asked.network];
const stored = storedTensors(tensors, asked.stored as FileDType);
const folder = asked.file ? await mkdtemp(join(tmpdir(), 'loading-')) : undefined;
const source = folder ? await sparseFile(join(folder, 'model.safetensors'), stored) : noise(stored);
const gpu = await requestGpu({ adapterName: asked.device });
const bytes = [...source.tensors.values()].reduce((sum, t) => sum + t.byteLength, 0);
try {
  process.stdout.write(`${asked.network}, ${asked.stored} as ${dtype}, ${megabytes(bytes)}, ${gpu.caps.description}\n`);
  const [first, extra] = await packed(source);
  process.stdout.write(`first load ${shown(first)}, ${extra}\n`);
  const ratios: number[] = [];
  for (let round = 0; round < Number(asked.rounds); round++) {
    const plain = await timed(() => copied(gpu, source));
    const [load] = await packed(source);
    ratios.push(load.cpu / plain.cpu);
    process.stdout.write(
      `copied ${shown(plain)}   packed ${shown(load)}   ratio ${(load.cpu / plain.cpu).toFixed(2)}\n`,
    );
  }
  ratios.sort((a, b) => a - b);
  process.stdout.write(`median ratio ${(ratios[ratios.length >> 1] ?? 0).toFixed(2)}\n`);
} finally {
  await source.close?.();
  if (folder) await rm(folder, { recursive: true });
}
process.exit(0);

/** One load, and what the process has grown by. */
async function packed(source: TensorSource): Promise<[Cost, string]> {
  const peak: Peak = { heap: 0, resident: 0 };
  const w = Weights.open(source);
  make?.(w, config);
  w.allowUnused();
  let held = 0;
  const before = process.memoryUsage();
  const cost = await timed(async () => {
    const loaded = await w.load(gpu, { dtype, onProgress: () => look(peak) });
    look(peak);
    held = loaded.bytes;
    loaded.dispose();
  });
  const grown = `resident +${megabytes(peak.resident - before.rss)} for ${megabytes(held)} of weights`;
  return [cost, `heap +${megabytes(peak.heap - before.heapUsed)}, ${grown}, in all ${megabytes(peak.resident)}`];
}

function look(peak: Peak): void {
  const { heapUsed, rss } = process.memoryUsage();
  peak.heap = Math.max(peak.heap, heapUsed);
  peak.resident = Math.max(peak.resident, rss);
}

async function timed(work: () => Promise<void>): Promise<Cost> {
  const [cpu, wall] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { cpu: (user + system) / 1e6, user: user / 1e6, wall: (performance.now() - wall) / 1000 };
}

/** The bytes of all tensors, as the file has them, through the same buffers into as many slabs. */
async function copied(gpu: Gpu, source: TensorSource): Promise<void> {
  const unit = batchBytes(STAGING_BYTES, false);
  const batches = cutInto(unit, [...source.tensors.values()]);
  const total = [...source.tensors.values()].reduce((sum, t) => sum + t.byteLength, 0);
  const slabs: BufferSlice[] = [];
  for (let at = 0; at < total; at += SLAB) slabs.push(createStorage(gpu, Math.min(SLAB, total - at), 'copies'));
  const staging = await Staging.create(gpu, { mapped: unit, scratch: 0, raw: 0, slots: 3 });
  let next = 0;
  let filled = 0;
  const work = async (slot: Staging['slots'][number]): Promise<void> => {
    for (let batch = batches[next++]; batch; batch = batches[next++]) {
      const mapped = await slot.bytes();
      let size = 0;
      const ranges: TensorRange[] = [];
      for (const { name, start, length } of batch) {
        ranges.push({ name, start, into: mapped.subarray(size, size + length) });
        size += length;
      }
      await readTensors(source, ranges);
      slot.unmap();
      const encoder = gpu.device.createCommandEncoder();
      for (let from = 0; from < size; ) {
        const slab = slabs[Math.floor(filled / SLAB)] as BufferSlice;
        const length = Math.min((size - from) & ~3, slab.size - (filled % SLAB));
        encoder.copyBufferToBuffer(slot.buffer, from, slab.buffer, filled % SLAB, length);
        from += length;
        filled += length;
      }
      gpu.device.queue.submit([encoder.finish()]);
    }
  };
  await Promise.all(staging.slots.map(work));
  await gpu.idle();
  staging.dispose();
  slabs.forEach(destroySlice);
}

interface Range {
  readonly name: string;
  readonly start: number;
  readonly length: number;
}

/** Ranges of all tensors, one after another, in lists of at most `unit` bytes. */
function cutInto(unit: number, all: readonly StoredTensor[]): Range[][] {
  const batches: Range[][] = [];
  let room = 0;
  for (const { name, byteLength } of all) {
    for (let start = 0; start < byteLength; ) {
      if (room === 0) {
        batches.push([]);
        room = unit;
      }
      const length = Math.min(room, byteLength - start);
      batches.at(-1)?.push({ name, start, length });
      start += length;
      room -= length;
    }
  }
  return batches;
}

function storedTensors(shapes: Record<string, number[]>, dtype: FileDType): Map<string, StoredTensor> {
  const entries = Object.entries(shapes).map(([name, shape]): [string, StoredTensor] => {
    return [name, { name, dtype, shape, byteLength: FILE_BYTES[dtype] * shape.reduce((a, b) => a * b, 1) }];
  });
  return new Map(entries);
}

/** The same 4 MiB over and over: what a processor's cache may hold in part, as it does of files. */
function noise(tensors: ReadonlyMap<string, StoredTensor>): TensorSource {
  const block = new Uint8Array(4 * 2 ** 20);
  for (let i = 0; i < block.length; i++) block[i] = i % 2 === 1 ? 0x3c : Math.imul(i, 0x9e3779b1) >>> 24;
  return {
    label: 'noise',
    tensors,
    read: async (_, start, into) => {
      for (let at = 0; at < into.length; ) {
        const from = (start + at) % block.length;
        const part = block.subarray(from, Math.min(block.length, from + into.length - at));
        into.set(part, at);
        at += part.length;
      }
    },
  };
}

/** A safetensors file of zeros that takes no place on the disk. */
async function sparseFile(path: string, tensors: ReadonlyMap<string, StoredTensor>): Promise<TensorSource> {
  const { header, order } = encodeHeader([...tensors], t => t.byteLength, {});
  const file = await open(path, 'w');
  await file.write(header);
  await file.truncate(order.reduce((sum, [, t]) => sum + t.byteLength, header.length));
  await file.close();
  return openSafetensors(await fileSource(path));
}

function shown({ cpu, user, wall }: Cost): string {
  return `${cpu.toFixed(2)} s, ${user.toFixed(2)} of them user's (wall ${wall.toFixed(2)})`;
}

function megabytes(count: number): string {
  return `${(count / 1e6).toFixed(0)} MB`;
}
