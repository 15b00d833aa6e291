import { openSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';

const text = (value: string) => new TextEncoder().encode(value);

/**
 * A safetensors file of float32 tensors as torch.save would write it, checksums left out.
 * @param options nested: the key of an outer dict under which the tensors stand, beside a counter
 */
export async function asTorchFile(
  safetensors: Uint8Array,
  { nested }: { readonly nested?: string } = {},
): Promise<Uint8Array> {
  const source = await openSafetensors(memorySource(safetensors, 'twin'));
  const entries: [string, Uint8Array][] = [];
  const outer = nested === undefined ? [] : [0x7d, 0x28, ...string('global_step'), ...integer(5), ...string(nested)];
  const pickle: Uint8Array[] = [Uint8Array.of(0x80, 2, ...outer, 0x7d, 0x28)]; // protocol 2, a dict, items follow
  for (const [i, { name, dtype, shape, byteLength }] of [...source.tensors.values()].entries()) {
    if (dtype !== 'F32') throw new Error(`${name} is ${dtype}`);
    const bytes = new Uint8Array(byteLength);
    await source.read(name, 0, bytes);
    entries.push([`model/data/${i}`, bytes]);
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const storage = [
      ...mark,
      ...string('storage'),
      ...global('torch', 'FloatStorage'),
      ...string(`${i}`),
      ...string('cpu'),
    ];
    pickle.push(
      Uint8Array.of(...string(name), ...global('torch._utils', '_rebuild_tensor_v2')),
      Uint8Array.of(...mark, ...storage, ...integer(byteLength / 4), ...tuple, PERSISTENT, ...integer(0)),
      Uint8Array.of(...mark, ...shape.flatMap(integer), ...tuple, ...mark, ...strides.flatMap(integer), ...tuple),
      Uint8Array.of(FALSE, ...global('collections', 'OrderedDict'), ...[EMPTY, REDUCE], ...tuple, REDUCE),
    );
  }
  pickle.push(text(nested === undefined ? 'u.' : 'uu.'));
  return zip([
    ['model/data.pkl', join(pickle)],
    ['model/byteorder', text('little')],
    ...entries,
    ['model/version', text('3\n')],
  ]);
}

const [mark, tuple] = [[0x28], [0x74]];
const [PERSISTENT, FALSE, EMPTY, REDUCE] = [0x51, 0x89, 0x29, 0x52];
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
