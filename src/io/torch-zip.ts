/**
 * Checkpoints that torch.save wrote as zip files (torch 1.6 and later). The pickle inside goes through the
 * restricted reader of unpickle.ts; tensors are read by byte range.
 */
import { WeightsError } from '../core/errors.ts';
import type { ByteSource, StoredTensor, TensorSource } from '../core/tensor-source.ts';
import { checkRange } from './safetensors.ts';
import { DTYPE_BITS } from './safetensors-header.ts';
import { refuseStandIn } from './stand-in.ts';
import { type Pickled, type PickledStorage, PickledTensor, unpickle } from './unpickle.ts';
import { dataOffset, readZipDirectory, type ZipEntry } from './zip.ts';

const MAX_PICKLE_BYTES = 256 * 2 ** 20;

/**
 * Opens a torch.save checkpoint that holds a state dict, at the top or under "state_dict".
 * @param bytes the file; closed by the result's `close`, and here when the file is refused
 * @throws WeightsError for anything but tensors and plain containers, and for files of the old format
 * @see torch.load(weights_only=True)
 */
export async function openTorchZip(bytes: ByteSource): Promise<TensorSource> {
  try {
    return await open(bytes);
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

async function open(bytes: ByteSource): Promise<TensorSource> {
  await checkMagic(bytes);
  const entries = await readZipDirectory(bytes);
  const pickle = [...entries.values()].find(e => e.name === 'data.pkl' || e.name.endsWith('/data.pkl'));
  if (!pickle) throw refuse(bytes, 'the zip file holds no data.pkl, so torch.save did not write it');
  if (pickle.byteLength > MAX_PICKLE_BYTES) throw refuse(bytes, 'data.pkl is too long', pickle.byteLength);
  const root = pickle.name.slice(0, -'data.pkl'.length);
  await checkByteOrder(bytes, entries.get(`${root}byteorder`));
  const state = stateDict(bytes, unpickle(await readEntry(bytes, pickle), `${bytes.label}/${pickle.name}`));
  const starts = new Map<string, number>();
  for (const { storage } of state.values()) {
    if (!starts.has(storage.key)) starts.set(storage.key, await locate(bytes, entries, root, storage));
  }
  const tensors = new Map([...state].map(([name, tensor]) => [name, describe(name, tensor)]));
  return {
    label: bytes.label,
    tensors,
    async read(name, start, into): Promise<void> {
      const tensor = state.get(name);
      checkRange(bytes.label, name, tensors.get(name)?.byteLength, start, into.byteLength);
      if (!tensor || into.byteLength === 0) return;
      const base = starts.get(tensor.storage.key) ?? 0;
      if (!isContiguous(tensor)) return gather(bytes, tensor, base, start, into);
      await bytes.read(base + tensor.offset * itemBytes(tensor.storage) + start, into);
    },
    close: async () => bytes.close?.(),
  };
}

async function checkMagic(bytes: ByteSource): Promise<void> {
  const magic = new Uint8Array(Math.min(4, bytes.byteLength));
  await bytes.read(0, magic);
  const [a, b, c, d] = magic;
  if (a === 0x50 && b === 0x4b && c === 3 && d === 4) return;
  await refuseStandIn(bytes, 'torch');
  const old = a === 0x80;
  throw new WeightsError({
    op: 'torch',
    problem: old ? 'a checkpoint in the format before torch 1.6' : 'not a file that torch.save wrote',
    expected: 'a zip file',
    received: `bytes ${[...magic].join(' ')}`,
    path: bytes.label,
    fix: old
      ? 'Load it in Python with torch.load(path, weights_only=True) and save it again with torch.save or safetensors.'
      : 'Download the file again.',
  });
}

async function checkByteOrder(bytes: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return;
  const order = new TextDecoder().decode(await readEntry(bytes, entry));
  if (order !== 'little') throw refuse(bytes, 'the byte order is not little-endian', order);
}

async function readEntry(bytes: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  const start = await dataOffset(bytes, entry);
  const data = new Uint8Array(entry.byteLength);
  await bytes.read(start, data);
  return data;
}

/** Tensors by key; numbers and other plain values beside them are left out. */
function stateDict(bytes: ByteSource, root: Pickled): Map<string, PickledTensor> {
  const inner = root instanceof Map ? root.get('state_dict') : undefined;
  const dict = inner instanceof Map ? inner : root;
  if (!(dict instanceof Map)) throw refuse(bytes, 'the checkpoint is not a dict of tensors');
  const state = new Map<string, PickledTensor>();
  for (const [key, value] of dict) {
    if (value instanceof PickledTensor) state.set(String(key), value);
  }
  if (state.size === 0 && dict.size > 0) {
    throw refuse(
      bytes,
      'the checkpoint holds no tensors at the top or under "state_dict"',
      [...dict.keys()].slice(0, 8),
    );
  }
  return state;
}

async function locate(
  bytes: ByteSource,
  entries: ReadonlyMap<string, ZipEntry>,
  root: string,
  storage: PickledStorage,
): Promise<number> {
  const entry = entries.get(`${root}data/${storage.key}`);
  if (!entry) throw refuse(bytes, `storage ${storage.key} is missing`);
  const needed = storage.count * itemBytes(storage);
  if (entry.byteLength < needed) {
    throw refuse(
      bytes,
      `storage ${storage.key} is shorter than the pickle says`,
      `${entry.byteLength} of ${needed} bytes`,
    );
  }
  return dataOffset(bytes, entry);
}

function describe(name: string, { storage, shape }: PickledTensor): StoredTensor {
  return { name, dtype: storage.dtype, shape, byteLength: shape.reduce((a, b) => a * b, itemBytes(storage)) };
}

function itemBytes(storage: PickledStorage): number {
  return (DTYPE_BITS.get(storage.dtype) ?? 0) / 8;
}

function isContiguous({ shape, stride }: PickledTensor): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== step) return false;
    step *= shape[i] ?? 1;
  }
  return true;
}

/** Reads the span of the storage that the asked elements lie in, and picks them out of it. */
async function gather(
  bytes: ByteSource,
  tensor: PickledTensor,
  base: number,
  start: number,
  into: Uint8Array,
): Promise<void> {
  const item = itemBytes(tensor.storage);
  const first = Math.floor(start / item);
  const count = Math.ceil((start + into.byteLength) / item) - first;
  const where = new Float64Array(count);
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < count; i++) {
    const element = elementOffset(tensor, first + i);
    where[i] = element;
    low = Math.min(low, element);
    high = Math.max(high, element);
  }
  const span = new Uint8Array((high - low + 1) * item);
  await bytes.read(base + low * item, span);
  for (let b = 0; b < into.byteLength; b++) {
    const at = start + b;
    const element = where[Math.floor(at / item) - first] ?? 0;
    into[b] = span[(element - low) * item + (at % item)] ?? 0;
  }
}

/** Place in the storage of the n-th element in row-major order. */
function elementOffset({ shape, stride, offset }: PickledTensor, n: number): number {
  let rest = n;
  let at = offset;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] ?? 1;
    at += (rest % size) * (stride[i] ?? 0);
    rest = Math.floor(rest / size);
  }
  return at;
}

function refuse(bytes: ByteSource, problem: string, received?: unknown): WeightsError {
  const fix = 'Save the weights as safetensors, or download the file again.';
  return new WeightsError({ op: 'torch', problem, received, path: bytes.label, fix });
}
