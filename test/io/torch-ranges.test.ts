/** Checkpoints of torch.save where each read costs an answer of a server: few reads, and nothing of the checks is lost. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type ByteRange, type ByteSource, readTensors, type TensorSource } from '../../src/core/tensor-source.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { memorySource } from '../../src/io/sources.ts';
import { urlFolder } from '../../src/io/url-source.ts';
import { openWeightFile } from '../../src/io/weight-file.ts';
import { goldenPath } from '../support/checkpoint.ts';
import { type FileServer, fileServer } from '../support/file-server.ts';
import { asOldTorchFile, asTorchFile } from '../support/torch-file.ts';

let server: FileServer;
beforeAll(async () => {
  server = await fileServer(goldenPath('torch'));
});
afterAll(() => server.close());

const TEXT_ENCODER = new Uint8Array(readFileSync('models/orchard/stable-diffusion/text_encoder/model.safetensors'));

/** A source that takes many ranges, and the calls that it got. */
function remote(bytes: Uint8Array): { source: ByteSource; calls: (readonly ByteRange[])[] } {
  const calls: (readonly ByteRange[])[] = [];
  const memory = memorySource(bytes, 'remote');
  const readMany = async (ranges: readonly ByteRange[]): Promise<void> => {
    calls.push(ranges);
    for (const { offset, into } of ranges) await memory.read(offset, into);
  };
  return { source: { ...memory, read: (offset, into) => readMany([{ offset, into }]), readMany }, calls };
}

async function everything(source: TensorSource): Promise<Map<string, Uint8Array>> {
  const parts = [...source.tensors.values()].map(t => ({ name: t.name, start: 0, into: new Uint8Array(t.byteLength) }));
  await readTensors(source, parts);
  return new Map(parts.map(({ name, into }) => [name, into]));
}

const read = (calls: readonly (readonly ByteRange[])[]): number =>
  calls.flat().reduce((sum, { into }) => sum + into.byteLength, 0);

it.each(['unet/diffusion_pytorch_model', 'vae/diffusion_pytorch_model', 'text_encoder/pytorch_model'])(
  '%s, as torch wrote it: its storages lie where they are looked for, and all are read in one call',
  async name => {
    const bytes = new Uint8Array(readFileSync(goldenPath(`torch/${name}.bin`)));
    const { source, calls } = remote(bytes);
    const opened = await openWeightFile(source);
    const before = calls.length;
    const found = await everything(opened);
    expect(calls.length - before).toBe(1);
    expect(read(calls.slice(before))).toBeLessThan(bytes.length);
    expect(found).toEqual(await everything(await openWeightFile(memorySource(bytes))));
  },
);

it.each([
  ['zip with its data in other places than torch puts it', asTorchFile, 2],
  ['file from before torch 1.6', asOldTorchFile, 1],
] as const)('a %s is read right', async (_what, write, most) => {
  const bytes = await write(TEXT_ENCODER);
  const { source, calls } = remote(bytes);
  const opened = await openWeightFile(source);
  const before = calls.length;
  expect(before).toBeLessThan(12);
  const found = await everything(opened);
  expect(calls.length - before).toBe(most);
  expect(found).toEqual(await everything(await openWeightFile(memorySource(TEXT_ENCODER))));
  const [first] = opened.tensors.keys();
  await opened.read(first ?? '', 0, new Uint8Array(4)); // known by now
  expect(calls.at(-1)?.length).toBe(1);
});

it.each([
  ['zip', asTorchFile, true, /zip: the header of ".*" is damaged/],
  ['file from before torch 1.6', asOldTorchFile, false, /has another size than the pickle says/],
] as const)(
  'what stands in front of a storage of a %s is checked when it is read',
  async (_what, write, zipped, said) => {
    const bytes = await write(TEXT_ENCODER);
    const opened = await openWeightFile(remote(bytes).source);
    const [name = '', { byteLength = 0 } = {}] = [...opened.tensors].at(-1) ?? [];
    const header = Buffer.from(bytes).indexOf(`model/data/${opened.tensors.size - 1}`) - 30;
    const at = zipped ? header : bytes.length - byteLength - 8;
    bytes.fill(1, at, at + 4);
    await expect(readTensors(opened, [{ name, start: 0, into: new Uint8Array(8) }])).rejects.toThrow(said);
    await expect(openWeightFile(memorySource(bytes))).rejects.toThrow(said);
  },
);

it('behind a server a whole file of small storages costs a few requests', async () => {
  const opened = await openCheckpoint(urlFolder(`${server.url}/unet`), 'diffusion_pytorch_model');
  await everything(opened);
  expect(opened.tensors.size).toBeGreaterThan(100);
  expect(server.asked.length).toBeLessThan(12);
});
