import { openSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';

const text = (value: string) => new TextEncoder().encode(value);

const STORAGES: Readonly<Record<string, readonly [name: string, bytes: number]>> = {
  F32: ['FloatStorage', 4],
  F16: ['HalfStorage', 2],
};

/**
 * A safetensors file of float32 or float16 tensors as torch.save would write it, checksums left out.
 * @param options nested: the key of an outer dict under which the tensors stand, beside a counter
 */
export async function asTorchFile(
  safetensors: Uint8Array,
  { nested }: { readonly nested?: string } = {},
): Promise<Uint8Array> {
  const { pickle, storages } = await pickled(safetensors, nested);
  return zip([
    ['model/data.pkl', pickle],
    ['model/byteorder', text('little')],
    ...storages.map(({ bytes }, i) => [`model/data/${i}`, bytes] as const),
    ['model/version', text('3\n')],
  ]);
}

/** The same as torch before 1.6 would write it: pickles one behind the other, then the storages, each behind its length. */
export async function asOldTorchFile(safetensors: Uint8Array): Promise<Uint8Array> {
  const { pickle, storages } = await pickled(safetensors);
  const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
  const version = [...string('protocol_version'), ...integer(1001), ...string('little_endian'), TRUE];
  const keys = storages.flatMap((_, i) => string(`${i}`));
  const start = Uint8Array.of(...START, ...magic, STOP, ...START, ...integer(1001), STOP);
  const about = Uint8Array.of(...START, ...dict, ...version, ITEMS, STOP);
  const list = Uint8Array.of(...START, 0x5d, ...mark, ...keys, 0x65, STOP);
  const parts = storages.flatMap(({ bytes, count }) => [Uint8Array.of(...integer(count).slice(1), 0, 0, 0, 0), bytes]);
  return join([start, about, pickle, list, ...parts]);
}

/** The pickle of a state dict, and what its storages hold. */
async function pickled(safetensors: Uint8Array, nested?: string) {
  const source = await openSafetensors(memorySource(safetensors, 'twin'));
  const storages: { readonly bytes: Uint8Array; readonly count: number }[] = [];
  const outer = nested === undefined ? [] : [...dict, ...string('global_step'), ...integer(5), ...string(nested)];
  const pickle: Uint8Array[] = [Uint8Array.of(...START, ...outer, ...dict)];
  for (const [i, { name, dtype, shape, byteLength }] of [...source.tensors.values()].entries()) {
    const [kind, size] = STORAGES[dtype] ?? [];
    if (kind === undefined || size === undefined) throw new Error(`${name} is ${dtype}`);
    const bytes = new Uint8Array(byteLength);
    await source.read(name, 0, bytes);
    storages.push({ bytes, count: byteLength / size });
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const storage = [...mark, ...string('storage'), ...global('torch', kind), ...string(`${i}`), ...string('cpu')];
    pickle.push(
      Uint8Array.of(...string(name), ...global('torch._utils', '_rebuild_tensor_v2')),
      Uint8Array.of(...mark, ...storage, ...integer(byteLength / size), ...tuple, PERSISTENT, ...integer(0)),
      Uint8Array.of(...mark, ...shape.flatMap(integer), ...tuple, ...mark, ...strides.flatMap(integer), ...tuple),
      Uint8Array.of(FALSE, ...global('collections', 'OrderedDict'), ...[EMPTY, REDUCE], ...tuple, REDUCE),
    );
  }
  pickle.push(Uint8Array.of(ITEMS, ...(nested === undefined ? [] : [ITEMS]), STOP));
  return { pickle: join(pickle), storages };
}

const [mark, tuple] = [[0x28], [0x74]];
const [PERSISTENT, FALSE, TRUE, EMPTY, REDUCE] = [0x51, 0x89, 0x88, 0x29, 0x52];
const [START, dict, ITEMS, STOP] = [[0x80, 2], [0x7d, 0x28], 0x75, 0x2e];
const integer = (n: number) => [0x4a, n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255];
const string = (value: string) => [0x58, ...integer(text(value).length).slice(1), ...text(value)];
const global = (module: string, name: string) => [...text(`c${module}\n${name}\n`)];

/** Stored entries, one behind the other, then their directory. */
function zip(entries: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const [parts, directory]: [Uint8Array[], Uint8Array[]] = [[], []];
  let offset = 0;
  for (const [name, data] of entries) {
    const { length } = data;
    const path = text(name);
    const local = record(30, { 0: 0x04034b50, 18: length, 22: length }, { 26: path.length });
    parts.push(local, path, data);
    directory.push(record(46, { 0: 0x02014b50, 20: length, 24: length, 42: offset }, { 28: path.length }), path);
    offset += local.length + path.length + length;
  }
  const size = join(directory).length;
  const count = entries.length;
  return join([...parts, ...directory, record(22, { 0: 0x06054b50, 12: size, 16: offset }, { 8: count, 10: count })]);
}

/** Zeros, but for some words of 32 and 16 bits. */
function record(length: number, words: Record<number, number>, halves: Record<number, number>): Uint8Array {
  const view = new DataView(new ArrayBuffer(length));
  for (const [at, value] of Object.entries(words)) view.setUint32(Number(at), value, true);
  for (const [at, value] of Object.entries(halves)) view.setUint16(Number(at), value, true);
  return new Uint8Array(view.buffer);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
